import { FLUSH_INTERVAL_MS } from "../../protocol/limits.ts";
import { MAX_FLUSH_INTERVAL_MS, PIECES_PER_SECOND } from "../limits.ts";

/**
 * How long providers should collect bytes for one frame while so many requests of a pool are on machines, in
 * milliseconds. What a stream costs the pool is its pieces, hardly their size. Near the limit of its core workerd
 * would serve the open streams and leave new connections waiting for seconds.
 */
export function flushIntervalMs(requests: number): number {
  const wanted = Math.ceil((requests * 1000) / PIECES_PER_SECOND);
  return Math.min(Math.max(wanted, FLUSH_INTERVAL_MS), MAX_FLUSH_INTERVAL_MS);
}
