import fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  DEFAULT_ANSWER_TOKENS,
  formatDuration,
  rateLimitHeaders,
  RateWindow,
  type RateVerdict,
} from "../../../core/rate-limit.ts";

const START = 1_700_000_000_000;

type Admitted = Extract<RateVerdict, { admitted: true }>;
type Refused = Extract<RateVerdict, { admitted: false }>;

function admitted(verdict: RateVerdict): Admitted {
  if (!verdict.admitted) throw new Error(`refused by ${verdict.limitedBy}`);
  return verdict;
}

function refused(verdict: RateVerdict): Refused {
  if (verdict.admitted) throw new Error("admitted");
  return verdict;
}

const requestsOnly = (limit: number) => ({ requestsPerMinute: limit, tokensPerMinute: null });
const tokensOnly = (limit: number) => ({ requestsPerMinute: null, tokensPerMinute: limit });
const asking = (promptTokens: number, answerTokens: number | null) => ({ promptTokens, answerTokens });

describe("requests per minute", () => {
  it("are let in up to the limit, then told when the oldest is a minute old", () => {
    const window = new RateWindow();
    for (let i = 0; i < 3; i++) {
      const verdict = admitted(window.admit(requestsOnly(3), asking(1, 1), START + i * 10_000));
      expect(verdict.standings).toMatchObject({ requests: { limit: 3, remaining: 2 - i }, tokens: null });
    }
    const verdict = refused(window.admit(requestsOnly(3), asking(1, 1), START + 20_000));
    expect(verdict).toMatchObject({ limitedBy: "requests", standings: { requests: { remaining: 0 } } });
    expect(verdict.retryAfterMs).toBe(40_250);
    expect(verdict.standings.requests?.resetMs).toBe(60_250);
    const later = START + 20_000 + verdict.retryAfterMs;
    expect(window.admit(requestsOnly(3), asking(1, 1), later - 251).admitted).toBe(false);
    expect(window.admit(requestsOnly(3), asking(1, 1), later).admitted).toBe(true);
  });

  it("follow a limit that changes, upwards and downwards", () => {
    const window = new RateWindow();
    admitted(window.admit(requestsOnly(1), asking(1, 1), START));
    refused(window.admit(requestsOnly(1), asking(1, 1), START));
    admitted(window.admit(requestsOnly(3), asking(1, 1), START));
    expect(refused(window.admit(requestsOnly(1), asking(1, 1), START)).standings.requests?.remaining).toBe(0);
  });

  it("never exceed the limit within any 60 s, and are let in again once they have waited as told", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.integer({ min: 0, max: 9000 }), { minLength: 1, maxLength: 300 }),
        (limit, gaps) => {
          const window = new RateWindow();
          const times: number[] = [];
          let now = START;
          for (const gap of gaps) {
            now += gap;
            const within = (ms: number): number => times.filter((at) => at > now - ms).length;
            const verdict = window.admit(requestsOnly(limit), asking(1, 1), now);
            // Those of the cell that is leaving count a little longer than a minute.
            expect(verdict.admitted ? within(60_000) < limit : within(60_500) >= limit).toBe(true);
            if (!verdict.admitted) {
              now += verdict.retryAfterMs;
              admitted(window.admit(requestsOnly(limit), asking(1, 1), now));
            }
            times.push(now);
          }
        },
      ),
    );
  });
});

describe("tokens per minute", () => {
  it("are held by prompt and longest answer, and given back for what was not used", () => {
    const window = new RateWindow();
    const { reservation, standings } = admitted(window.admit(tokensOnly(1000), asking(100, 500), START));
    expect(reservation).toEqual({ at: START, tokens: 600 });
    expect(standings.tokens).toMatchObject({ limit: 1000, remaining: 400 });
    expect(refused(window.admit(tokensOnly(1000), asking(100, 500), START + 1000))).toMatchObject({
      limitedBy: "tokens",
      retryAfterMs: 59_250,
    });
    window.settle(reservation, 150, START + 2000);
    const next = admitted(window.admit(tokensOnly(1000), asking(100, 500), START + 3000));
    expect(next.standings.tokens?.remaining).toBe(250);
  });

  it("are charged for more than was held", () => {
    const window = new RateWindow();
    const { reservation } = admitted(window.admit(tokensOnly(1000), asking(10, 10), START));
    window.settle(reservation, 1500, START + 1000);
    const { standings } = refused(window.admit(tokensOnly(1000), asking(1, 1), START + 2000));
    expect(standings.tokens?.remaining).toBe(0);
    admitted(window.admit(tokensOnly(1000), asking(1, 1), START + 60_250));
  });

  it("of a request that lasts longer than a minute count when it ends, and its rest is not given back twice", () => {
    const window = new RateWindow();
    const first = admitted(window.admit(tokensOnly(1000), asking(10, 90), START)).reservation;
    window.settle(first, 400, START + 120_000);
    expect(
      admitted(window.admit(tokensOnly(1000), asking(0, 0), START + 120_000)).standings.tokens,
    ).toMatchObject({ remaining: 700 });
    const second = admitted(window.admit(tokensOnly(1000), asking(100, 400), START + 200_000)).reservation;
    window.settle(second, 0, START + 300_000);
    expect(
      admitted(window.admit(tokensOnly(1000), asking(0, 0), START + 300_000)).standings.tokens,
    ).toMatchObject({ remaining: 1000 });
  });

  it("fit while its prompt fits, for a request that names no longest answer", () => {
    const window = new RateWindow();
    const first = admitted(window.admit(tokensOnly(100), asking(20, null), START));
    expect(first.reservation.tokens).toBe(100);
    expect(window.admit(tokensOnly(100), asking(20, null), START).admitted).toBe(false);
    window.settle(first.reservation, 30, START);
    expect(admitted(window.admit(tokensOnly(100), asking(20, null), START)).reservation.tokens).toBe(70);
    const roomy = new RateWindow().admit(tokensOnly(1_000_000), asking(20, null), START);
    expect(admitted(roomy).reservation.tokens).toBe(20 + DEFAULT_ANSWER_TOKENS);
  });

  it("are never given back beyond what is held: not after a reset, and not twice", () => {
    const before = new RateWindow();
    const { reservation } = admitted(before.admit(tokensOnly(100), asking(10, 80), START));
    const after = new RateWindow();
    after.settle(reservation, 10, START + 1000);
    admitted(after.admit(tokensOnly(100), asking(10, 90), START + 1000));
    expect(after.admit(tokensOnly(100), asking(1, null), START + 1000).admitted).toBe(false);
    for (let i = 0; i < 2; i++) before.settle(reservation, 0, START + 1000);
    admitted(before.admit(tokensOnly(100), asking(10, 90), START + 1000));
    expect(before.admit(tokensOnly(100), asking(1, null), START + 1000).admitted).toBe(false);
  });

  it("let a request in alone that asks for more than the whole limit", () => {
    const window = new RateWindow();
    admitted(window.admit(tokensOnly(100), asking(500, 500), START));
    const { retryAfterMs } = refused(window.admit(tokensOnly(100), asking(500, 500), START));
    admitted(window.admit(tokensOnly(100), asking(500, 500), START + retryAfterMs));
  });
});

describe("both limits", () => {
  it("hold together, and a refusal uses nothing up", () => {
    const window = new RateWindow();
    const limits = { requestsPerMinute: 2, tokensPerMinute: 100 };
    admitted(window.admit(limits, asking(10, 80), START));
    const { standings } = refused(window.admit(limits, asking(10, 80), START));
    expect(standings).toMatchObject({ requests: { remaining: 1 }, tokens: { remaining: 10 } });
    admitted(window.admit(limits, asking(5, 5), START));
    expect(refused(window.admit(limits, asking(1, 1), START)).limitedBy).toBe("requests");
  });

  it("leave nothing to remember a minute later", () => {
    const window = new RateWindow();
    expect(window.emptyAt()).toBe(0);
    const { reservation } = admitted(window.admit(requestsOnly(2), asking(1, 1), START));
    expect(window.emptyAt()).toBe(START + 60_250);
    window.settle(reservation, 0, START);
    const { standings } = admitted(window.admit(requestsOnly(2), asking(1, 1), START + 60_250));
    expect(standings.requests?.remaining).toBe(1);
  });
});

it.each([
  [0, "0s"],
  [1, "1ms"],
  [250, "250ms"],
  [1000, "1s"],
  [1001, "2s"],
  [59_900, "1m0s"],
  [60_250, "1m1s"],
  [360_000, "6m0s"],
])("%d ms are written %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

it("headers name only the limits that there are", () => {
  const tokens = { limit: 10, remaining: 4, resetMs: 1500 };
  expect(rateLimitHeaders({ requests: null, tokens })).toEqual([
    ["x-ratelimit-limit-tokens", "10"],
    ["x-ratelimit-remaining-tokens", "4"],
    ["x-ratelimit-reset-tokens", "2s"],
  ]);
});
