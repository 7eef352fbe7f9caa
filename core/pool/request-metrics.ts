import { Histogram, QUEUE_WAIT, TTFT } from "./histogram.ts";
import type { RequestOutcome } from "./outcome.ts";
import type { Totals } from "./totals.ts";

/** A pool's request counters for `GET /metrics`. The names are bounded, because outcomes are a closed set of codes. */

/** Followed by the outcome. */
export const REQUESTS = "requests.";
export const RETRIES = "retries";
export const PROMPT_TOKENS = "tokens.prompt";
export const CACHED_TOKENS = "tokens.cached";
export const COMPLETION_TOKENS = "tokens.completion";

export class RequestMetrics {
  readonly #totals: Totals;
  readonly #ttft: Histogram;
  readonly #queueWait: Histogram;

  constructor(totals: Totals) {
    this.#totals = totals;
    this.#ttft = new Histogram(totals, TTFT);
    this.#queueWait = new Histogram(totals, QUEUE_WAIT);
  }

  ended({ outcome, tokens, attempts, queueMs, firstTokenMs }: RequestOutcome): void {
    this.#totals.add(REQUESTS + outcome);
    this.#totals.add(RETRIES, Math.max(0, attempts - 1));
    this.#totals.add(PROMPT_TOKENS, tokens.promptTokens);
    this.#totals.add(CACHED_TOKENS, tokens.cachedTokens);
    this.#totals.add(COMPLETION_TOKENS, tokens.completionTokens);
    if (queueMs !== null) this.#queueWait.observe(queueMs);
    if (firstTokenMs !== null) this.#ttft.observe(firstTokenMs);
  }

  /** Requests that never came here, since the edge knew the answer. */
  refusedAtEdge(code: string, requests: number): void {
    this.#totals.add(REQUESTS + code, requests);
  }
}
