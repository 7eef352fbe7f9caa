import { FLUSH_INTERVAL_MS } from "../../protocol/limits.ts";
import { MAX_FLUSH_INTERVAL_MS, PIECES_PER_SECOND } from "../limits.ts";

/**
 * How long providers should collect bytes for one frame, in milliseconds, for a number of running requests. The pool's CPU time
 * depends on the number of frames, hardly on their size, and near the limit of its core workerd serves open streams and leaves
 * new connections waiting for seconds.
 */
export function flushIntervalMs(requests: number): number {
  const wanted = Math.ceil((requests * 1000) / PIECES_PER_SECOND);
  return Math.min(Math.max(wanted, FLUSH_INTERVAL_MS), MAX_FLUSH_INTERVAL_MS);
}
