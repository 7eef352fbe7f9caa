import type { InferenceComplete } from "../../protocol/upstream.ts";
import type { PoolFlags } from "./settings.ts";

/** Whether a request was served as well as the fleet promises: that share of demand is what placement works for. */

/** Added to the limit of the first token for each token of the prompt, in ms. */
const TTFT_PER_TOKEN_MS = 1;

/** The speed of a shorter answer says nothing. */
const LEAST_TOKENS = 8;

/** How long the first token may take, in ms since the request arrived. */
export function ttftLimitMs({ ttft_limit_ms }: PoolFlags, promptTokens: number): number {
  return ttft_limit_ms + TTFT_PER_TOKEN_MS * promptTokens;
}

/** @param ttftMs from the arrival at the edge to the first token. */
export function isServedInTime(
  { usage, timings }: Pick<InferenceComplete, "usage" | "timings">,
  ttftMs: number,
  flags: PoolFlags,
): boolean {
  if (ttftMs > ttftLimitMs(flags, usage.prompt_tokens)) return false;
  if (usage.completion_tokens < LEAST_TOKENS || timings.decode_ms <= 0) return true;
  return (1000 * usage.completion_tokens) / timings.decode_ms >= flags.decode_floor_tps;
}
