import type { InferenceComplete } from "../../protocol/upstream.ts";

/**
 * What was asked of a pool and what came of it, by hour, API key and outcome. Counted in memory and written in
 * one transaction now and then: a write per request would cost more than twice the request itself.
 */

export interface UsageKey {
  /** Start of the hour, ms since the epoch. */
  readonly hourAt: number;
  readonly keyId: string;
  /** `ok`, `cancelled` or the error's code. */
  readonly outcome: string;
}

export interface UsageCount {
  requests: number;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
}

export type UsageRow = UsageKey & Readonly<UsageCount>;

/** What one row of a report adds up, in ms. */
export const USAGE_SPANS_MS = { hour: 3_600_000, day: 86_400_000 } as const;
export type UsageSpan = keyof typeof USAGE_SPANS_MS;

/** Tokens of one request as its machine counted them. */
export interface Tokens {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
}

export const NO_TOKENS: Tokens = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 };

export function tokensOf({ usage }: InferenceComplete): Tokens {
  return {
    promptTokens: usage.prompt_tokens,
    completionTokens: usage.completion_tokens,
    cachedTokens: usage.cached_tokens ?? 0,
  };
}

export class Usage {
  readonly #counts = new Map<string, UsageKey & UsageCount>();

  /** @param tokens of all of them */
  count(keyId: string, outcome: string, tokens: Tokens, now: number, requests = 1): void {
    const hourAt = now - (now % USAGE_SPANS_MS.hour);
    const name = `${hourAt} ${outcome} ${keyId}`;
    let row = this.#counts.get(name);
    if (row === undefined) {
      row = { hourAt, keyId, outcome, requests: 0, ...NO_TOKENS };
      this.#counts.set(name, row);
    }
    row.requests += requests;
    row.promptTokens += tokens.promptTokens;
    row.completionTokens += tokens.completionTokens;
    row.cachedTokens += tokens.cachedTokens;
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  /** Takes everything counted since the last call. */
  drain(): UsageRow[] {
    const rows = [...this.#counts.values()];
    this.#counts.clear();
    return rows;
  }
}
