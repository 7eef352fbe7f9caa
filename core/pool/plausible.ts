import type { InferenceComplete, Register } from "../../protocol/upstream.ts";
import { FASTEST_DECODE_TPS, FASTEST_PREFILL_TPS } from "../limits.ts";
import type { RequestSpec } from "./request.ts";

/**
 * Caps what a machine reports about its answers and itself at plausible values. Otherwise a single machine could use up its
 * clients' token limits, or inflate a model's demand or speed a million times.
 */

/** No request can use more tokens than the model's context. */
export function plausible(
  message: InferenceComplete,
  { contextLength }: Pick<RequestSpec, "contextLength">,
): InferenceComplete {
  const { prompt_tokens, completion_tokens, cached_tokens } = message.usage;
  if (prompt_tokens + completion_tokens <= contextLength && (cached_tokens ?? 0) <= prompt_tokens)
    return message;
  const prompt = Math.min(prompt_tokens, contextLength);
  const usage = { prompt_tokens: prompt, completion_tokens: Math.min(completion_tokens, contextLength) };
  if (cached_tokens === undefined) return { ...message, usage };
  return { ...message, usage: { ...usage, cached_tokens: Math.min(cached_tokens, prompt) } };
}

/** Speeds as a machine claims them for a model, in tokens per second; null where it claims none. */
export function plausibleSpeeds(claimed: Pick<Register["models"][number], "decode_tps" | "prefill_tps">): {
  readonly decodeTps: number | null;
  readonly prefillTps: number | null;
} {
  const { decode_tps, prefill_tps } = claimed;
  return {
    decodeTps: decode_tps === undefined ? null : Math.min(FASTEST_DECODE_TPS, decode_tps),
    prefillTps: prefill_tps === undefined ? null : Math.min(FASTEST_PREFILL_TPS, prefill_tps),
  };
}
