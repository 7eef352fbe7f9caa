import { expect } from "vitest";

/** What the tests of client libraries ask, and what happens to them meanwhile. */

export const WHO = "Who are you?";

/** About 400 tokens: long enough to be cut in the middle. The grammar is our engine's own field. */
export const LONG_GRAMMAR =
  "root ::= part part part part part part part part part part part part\npart ::= [a-zA-Z ,.;:!?'\\n-]{100}";

/** More than the tiny models' context of 1,024 tokens takes. */
export const TOO_LONG = "Who are you, and who is it that asks? ".repeat(400);

/** What a function takes, as a schema that can be kept to. */
export const NAME_SCHEMA = {
  type: "object" as const,
  properties: { name: { enum: ["bard", "verse"] } },
  required: ["name"],
  additionalProperties: false,
};

interface Attempt {
  readonly sentAt: number;
  readonly status: number;
  readonly retryAfterMs: number;
}

/** A client's `fetch` that writes down what came of each attempt. */
export interface WatchedFetch {
  readonly fetch: typeof fetch;
  readonly attempts: readonly Attempt[];
}

/** @param onRefused has done its work before the client hears of the refusal. */
export function watchFetch(onRefused: () => Promise<unknown> = () => Promise.resolve()): WatchedFetch {
  const attempts: Attempt[] = [];
  return {
    attempts,
    async fetch(input, init) {
      const sentAt = performance.now();
      const response = await fetch(input, init);
      // The exact one of the two, which SDKs read first.
      const retryAfterMs = Number(response.headers.get("retry-after-ms"));
      attempts.push({ sentAt, status: response.status, retryAfterMs });
      if (response.status === 429) await onRefused();
      return response;
    },
  };
}

export const statusesOf = ({ attempts }: WatchedFetch): number[] => attempts.map(({ status }) => status);

/** Expects one refusal, and its answer no sooner after it than the refusal had said. */
export function expectPatience(watched: WatchedFetch): void {
  const [refused, answered] = watched.attempts;
  expect(statusesOf(watched)).toEqual([429, 200]);
  expect(refused?.retryAfterMs).toBeGreaterThanOrEqual(1_000);
  const waitedMs = (answered?.sentAt ?? 0) - (refused?.sentAt ?? 0);
  expect(waitedMs).toBeGreaterThanOrEqual(refused?.retryAfterMs ?? Infinity);
}
