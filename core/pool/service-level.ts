import type { PoolFlags } from "./settings.ts";
import { decodeTpsOf, type TimedAnswer } from "./speeds.ts";

/** Whether a request was served in time. Placement maximizes the share of demand that is. */

/** Added to the limit of the first token for each token of the prompt, in ms. */
const TTFT_PER_TOKEN_MS = 1;

/** How long the first token may take, in ms since the request arrived. */
export function ttftLimitMs({ ttft_limit_ms }: PoolFlags, promptTokens: number): number {
  return ttft_limit_ms + TTFT_PER_TOKEN_MS * promptTokens;
}

/** @param ttftMs from the arrival at the edge to the first token. */
export function isServedInTime(answer: TimedAnswer, ttftMs: number, flags: PoolFlags): boolean {
  if (ttftMs > ttftLimitMs(flags, answer.usage.prompt_tokens)) return false;
  const tps = decodeTpsOf(answer);
  return tps === null || tps >= flags.decode_floor_tps;
}
