import fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  DEFAULT_ANSWER_TOKENS,
  formatDuration,
  rateLimitHeaders,
  RateWindow,
  savedWindowSchema,
  type RateVerdict,
  type Reservation,
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
    const window = new RateWindow("w");
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
    const window = new RateWindow("w");
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
          const window = new RateWindow("w");
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
    const window = new RateWindow("w");
    const { reservation, standings } = admitted(window.admit(tokensOnly(1000), asking(100, 500), START));
    expect(reservation).toEqual({ window: "w", number: 1, at: START, tokens: 600 });
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
    const window = new RateWindow("w");
    const { reservation } = admitted(window.admit(tokensOnly(1000), asking(10, 10), START));
    window.settle(reservation, 1500, START + 1000);
    const { standings } = refused(window.admit(tokensOnly(1000), asking(1, 1), START + 2000));
    expect(standings.tokens?.remaining).toBe(0);
    admitted(window.admit(tokensOnly(1000), asking(1, 1), START + 60_250));
  });

  it("of a request that lasts longer than a minute count when it ends, and its rest is not given back twice", () => {
    const window = new RateWindow("w");
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
    const window = new RateWindow("w");
    const first = admitted(window.admit(tokensOnly(100), asking(20, null), START));
    expect(first.reservation.tokens).toBe(100);
    expect(window.admit(tokensOnly(100), asking(20, null), START).admitted).toBe(false);
    window.settle(first.reservation, 30, START);
    expect(admitted(window.admit(tokensOnly(100), asking(20, null), START)).reservation.tokens).toBe(70);
    const roomy = new RateWindow("w").admit(tokensOnly(1_000_000), asking(20, null), START);
    expect(admitted(roomy).reservation.tokens).toBe(20 + DEFAULT_ANSWER_TOKENS);
  });

  it("let a request in alone that asks for more than the whole limit", () => {
    const window = new RateWindow("w");
    admitted(window.admit(tokensOnly(100), asking(500, 500), START));
    const { retryAfterMs } = refused(window.admit(tokensOnly(100), asking(500, 500), START));
    admitted(window.admit(tokensOnly(100), asking(500, 500), START + retryAfterMs));
  });
});

/** The next life of the object that counts. */
function asleep(window: RateWindow, name: string): RateWindow {
  return new RateWindow(name, savedWindowSchema.parse(JSON.parse(JSON.stringify(window.saved()))));
}

/** How many tokens are left; asking uses none up. */
function tokensLeft(window: RateWindow, limit: number, now: number): number | undefined {
  return admitted(window.admit(tokensOnly(limit), asking(0, 0), now)).standings.tokens?.remaining;
}

describe("a reservation", () => {
  it("that a reset has forgotten is not given back: what was used counts", () => {
    const before = new RateWindow("before");
    const { reservation } = admitted(before.admit(tokensOnly(1000), asking(100, 800), START));
    const after = new RateWindow("after");
    expect(tokensLeft(after, 1000, START + 1000)).toBe(1000);
    after.settle(reservation, 150, START + 2000);
    expect(tokensLeft(after, 1000, START + 2000)).toBe(850);
    // As of the moment it was let in.
    expect(tokensLeft(after, 1000, START + 60_250)).toBe(1000);
  });

  it("that a reset has forgotten and whose minute is over counts by what it used above it", () => {
    const before = new RateWindow("before");
    const { reservation } = admitted(before.admit(tokensOnly(1000), asking(100, 200), START));
    for (const [used, left] of [
      [150, 1000],
      [500, 800],
    ] as const) {
      const after = new RateWindow("after");
      after.settle(reservation, used, START + 120_000);
      expect(tokensLeft(after, 1000, START + 120_000)).toBe(left);
    }
  });

  it("is given back once, however often it is settled", () => {
    const window = new RateWindow("w");
    const { reservation } = admitted(window.admit(tokensOnly(1000), asking(100, 500), START));
    admitted(window.admit(tokensOnly(1000), asking(100, 200), START));
    for (let i = 0; i < 3; i++) window.settle(reservation, 50, START + 1000);
    expect(tokensLeft(window, 1000, START + 1000)).toBe(650);
  });

  it("lasts its minute from the latest time there was, if the clock is set back", () => {
    const window = new RateWindow("w");
    admitted(window.admit(tokensOnly(1000), asking(0, 1), START + 100_000));
    const { reservation } = admitted(window.admit(tokensOnly(1000), asking(0, 600), START));
    expect(reservation.at).toBe(START + 100_000);
    expect(tokensLeft(window, 1000, START + 159_000)).toBe(399);
    window.settle(reservation, 100, START + 159_000);
    expect(tokensLeft(window, 1000, START + 159_000)).toBe(899);
  });

  it("never lets a key have more than its limit within 60 s, whatever order all ends in and whatever is reset", () => {
    const steps = fc.array(
      fc.record({
        gapMs: fc.integer({ min: 0, max: 20_000 }),
        does: fc.constantFrom("ask", "ask", "ask", "settle", "settle", "settle again", "reset", "sleep"),
        which: fc.nat(),
        tokens: fc.integer({ min: 1, max: 400 }),
      }),
      { minLength: 1, maxLength: 120 },
    );
    fc.assert(
      fc.property(steps, (all) => {
        const limit = 1000;
        let window = new RateWindow("0");
        let lives = 0;
        /** Of those whose reservations are not forgotten. */
        let firstLife = 0;
        let now = START;
        let open: Reservation[] = [];
        let settled: { reservation: Reservation; used: number }[] = [];
        for (const { gapMs, does, which, tokens } of all) {
          now += gapMs;
          const isRecent = ({ at }: Reservation): boolean => at > now - 60_000;
          if (does === "ask") {
            const verdict = window.admit(tokensOnly(limit), asking(0, tokens), now);
            if (verdict.admitted) open.push(verdict.reservation);
          } else if (does === "settle") {
            const reservation = open[which % open.length];
            if (reservation === undefined) continue;
            const used = which % (reservation.tokens + 1);
            window.settle(reservation, used, now);
            open = open.filter((other) => other !== reservation);
            settled.push({ reservation, used });
          } else if (does === "settle again") {
            const again = settled[which % settled.length];
            if (again !== undefined) window.settle(again.reservation, again.used, now);
          } else if (does === "sleep") {
            window = asleep(window, String(++lives));
          } else {
            // What is open is forgotten until it ends, and what has ended for good.
            window = new RateWindow(String(++lives));
            firstLife = lives;
            settled = [];
          }
          const held = open.filter((each) => isRecent(each) && Number(each.window) >= firstLife);
          const used = settled.filter(({ reservation }) => isRecent(reservation));
          const sum =
            held.reduce((total, each) => total + each.tokens, 0) +
            used.reduce((total, each) => total + each.used, 0);
          const left = window.admit(tokensOnly(limit), asking(0, 0), now).standings.tokens?.remaining ?? NaN;
          expect(left).toBeLessThanOrEqual(Math.max(0, limit - sum));
        }
      }),
    );
  });
});

describe("a window that was saved", () => {
  it("goes on where it was, in requests, in tokens and in what is held", () => {
    const before = new RateWindow("before");
    const limits = { requestsPerMinute: 3, tokensPerMinute: 1000 };
    const first = admitted(before.admit(limits, asking(100, 200), START)).reservation;
    const second = admitted(before.admit(limits, asking(100, 300), START + 20_000)).reservation;
    before.settle(first, 50, START + 30_000);
    const after = asleep(before, "after");
    const { standings } = admitted(after.admit(limits, asking(0, 0), START + 31_000));
    expect(standings).toMatchObject({ requests: { remaining: 0 }, tokens: { remaining: 550 } });
    for (let i = 0; i < 2; i++) after.settle(second, 10, START + 32_000);
    after.settle(first, 50, START + 32_000);
    expect(tokensLeft(after, 1000, START + 32_000)).toBe(940);
    expect(tokensLeft(after, 1000, START + 60_250)).toBe(990);
    expect(tokensLeft(after, 1000, START + 80_250)).toBe(1000);
  });

  it("counts what was let in after that and used, but gives nothing back for it", () => {
    const before = new RateWindow("before");
    admitted(before.admit(tokensOnly(1000), asking(0, 100), START));
    const after = asleep(before, "after");
    const lost = admitted(before.admit(tokensOnly(1000), asking(0, 500), START + 1000)).reservation;
    const own = admitted(after.admit(tokensOnly(1000), asking(0, 400), START + 2000)).reservation;
    expect(own.number).toBe(1);
    after.settle(lost, 30, START + 3000);
    expect(tokensLeft(after, 1000, START + 3000)).toBe(470);
    after.settle(own, 10, START + 3000);
    expect(tokensLeft(after, 1000, START + 3000)).toBe(860);
  });

  it("is not larger than a row may be, whatever is open, and holds what it leaves out", () => {
    const before = new RateWindow("before");
    const all = Array.from(
      { length: 6000 },
      () => admitted(before.admit(tokensOnly(100_000), asking(0, 10), START)).reservation,
    );
    expect(JSON.stringify(before.saved()).length).toBeLessThan(1_000_000);
    const after = asleep(before, "after");
    for (const reservation of all) after.settle(reservation, 0, START + 1000);
    expect(tokensLeft(after, 100_000, START + 1000)).toBe(90_000);
  });

  it("forgets its earlier lives once their minute is over", () => {
    let window = new RateWindow("0");
    for (let life = 1; life <= 20; life++) {
      admitted(window.admit(requestsOnly(100), asking(0, 0), START + life * 10_000));
      window = asleep(window, String(life));
    }
    expect(window.saved().lives.length).toBeLessThan(9);
  });
});

describe("both limits", () => {
  it("hold together, and a refusal uses nothing up", () => {
    const window = new RateWindow("w");
    const limits = { requestsPerMinute: 2, tokensPerMinute: 100 };
    admitted(window.admit(limits, asking(10, 80), START));
    const { standings } = refused(window.admit(limits, asking(10, 80), START));
    expect(standings).toMatchObject({ requests: { remaining: 1 }, tokens: { remaining: 10 } });
    admitted(window.admit(limits, asking(5, 5), START));
    expect(refused(window.admit(limits, asking(1, 1), START)).limitedBy).toBe("requests");
  });

  it("are remembered for as long as either holds anything", () => {
    const window = new RateWindow("w");
    const { reservation } = admitted(window.admit(tokensOnly(1000), asking(10, 90), START));
    window.settle(reservation, 400, START + 120_000);
    expect(tokensLeft(window, 1000, START + 180_249)).toBe(700);
    expect(tokensLeft(window, 1000, START + 180_250)).toBe(1000);
  });

  it("are told to be all there again a minute after the last use, and at once if there was none", () => {
    const window = new RateWindow("w");
    const limits = { requestsPerMinute: 2, tokensPerMinute: 100 };
    const resets = (now: number, tokens: number) => {
      const { standings } = window.admit(limits, asking(0, tokens), now);
      return [standings.requests?.resetMs, standings.tokens?.resetMs];
    };
    expect(resets(START, 0)).toEqual([60_250, 0]);
    expect(resets(START + 20_000, 5)).toEqual([60_250, 60_250]);
    expect(resets(START + 30_000, 5)).toEqual([50_250, 50_250]);
  });

  it("leave nothing to remember a minute later", () => {
    const window = new RateWindow("w");
    const { reservation } = admitted(window.admit(requestsOnly(2), asking(1, 1), START));
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
