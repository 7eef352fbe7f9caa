import { FLUSH_INTERVAL_MS } from "../../protocol/limits.ts";
import { MAX_FLUSH_INTERVAL_MS, PIECES_PER_SECOND } from "../limits.ts";

/**
 * How long providers should collect bytes for one frame while a pool has so many streams, in milliseconds. What a
 * stream costs the pool is its pieces, hardly their size; near its limit a pool would first keep new clients waiting.
 */
export function flushIntervalMs(streams: number): number {
  const wanted = Math.ceil((streams * 1000) / PIECES_PER_SECOND);
  return Math.min(Math.max(wanted, FLUSH_INTERVAL_MS), MAX_FLUSH_INTERVAL_MS);
}
