import type { RunResult } from "../engine.ts";

/** What every chunk and the whole completion say about the answer they belong to. */
export interface AnswerHead {
  readonly id: string;
  /** Seconds since the Unix epoch. */
  readonly created: number;
  /** As the client asked for it, which may be an alias. */
  readonly model: string;
}

/** OpenAI's `usage` object. */
export function encodeUsage({
  promptTokens,
  completionTokens,
  cachedTokens,
  reasoningTokens,
}: RunResult["usage"]) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: reasoningTokens ?? 0 },
  };
}
