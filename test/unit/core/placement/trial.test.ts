import { describe, expect, it } from "vitest";

import type { ScoredDay } from "../../../../core/placement/score.ts";
import { daysWon, tried, type Trial } from "../../../../core/placement/trial.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const FIRST = 20_000 * DAY_MS;
const TRIAL_DAYS = 2;

/** @param gain requests that the planner's fleet had room for beyond the other one's, of 1,000 */
function aDay(day: number, mode: ScoredDay["mode"], gain: number, offered = 1_000): ScoredDay {
  const [asPlaced, otherwise] = mode === "enforce" ? [800 + gain, 800] : [800, 800 + gain];
  const dayAt = FIRST + day * DAY_MS;
  return { dayAt, mode, machineSeconds: 4 * 86_400, offered, good: 700, asPlaced, otherwise, switches: 3 };
}

/** What becomes of a trial that has just begun, at noon of the day after these. */
function beginning(...gains: number[]): Trial {
  const days = gains.map((gain, day) => aDay(day, "shadow", gain));
  return tried(null, days, TRIAL_DAYS, FIRST + (gains.length + 0.5) * DAY_MS);
}

describe("a planner on trial", () => {
  it("shows its plans until they would have won on enough days in a row", () => {
    expect(beginning().mode).toBe("shadow");
    expect(beginning(5).mode).toBe("shadow");
    expect(beginning(5, 1).mode).toBe("enforce");
    expect(beginning(5, -1).mode).toBe("shadow");
    expect(beginning(5, 5, -1, 5).mode).toBe("shadow");
    expect(beginning(-1, 5, 5).mode).toBe("enforce");
  });

  it("is held against nothing by a day with few requests, or with nothing to win", () => {
    expect(beginning(5, 0, 5).mode).toBe("enforce");
    const quiet = [aDay(0, "shadow", 5), aDay(1, "shadow", -5, 99), aDay(2, "shadow", 5)];
    expect(tried(null, quiet, TRIAL_DAYS, FIRST + 3 * DAY_MS).mode).toBe("enforce");
  });

  it("does not win by a day that is not over, nor by days long ago", () => {
    const days = [aDay(0, "shadow", 5), aDay(1, "shadow", 5)];
    expect(tried(null, days, TRIAL_DAYS, FIRST + 2 * DAY_MS - 1).mode).toBe("shadow");
    expect(tried(null, days, TRIAL_DAYS, FIRST + 2 * DAY_MS).mode).toBe("enforce");
    expect(tried(null, days, TRIAL_DAYS, FIRST + 6 * DAY_MS).mode).toBe("shadow");
  });

  const promoted: Trial = { mode: "enforce", since: FIRST, countsFrom: 0 };

  it("falls back once what it wins is less than nothing, and then counts its days anew", () => {
    const days = [aDay(-2, "shadow", 5), aDay(-1, "shadow", 5), aDay(0, "enforce", -6)];
    const now = FIRST + 12 * HOUR_MS;
    const fallen = tried(promoted, days, TRIAL_DAYS, now);
    expect(fallen).toEqual({ mode: "shadow", since: now, countsFrom: now });
    expect(tried(fallen, days, TRIAL_DAYS, now)).toBe(fallen);
    const later = [...days, aDay(1, "shadow", 5), aDay(2, "shadow", 5)];
    expect(daysWon(fallen, later, TRIAL_DAYS, FIRST + 2 * DAY_MS)).toBe(1);
    expect(tried(fallen, later, TRIAL_DAYS, FIRST + 3 * DAY_MS)).toMatchObject({ mode: "enforce" });
  });

  it("is not judged by its first moves, by noise, by few requests, or by what is long past", () => {
    const isObeyed = (now: number, ...days: ScoredDay[]) =>
      tried(promoted, days, TRIAL_DAYS, now).mode === "enforce";
    expect(isObeyed(FIRST + 6 * HOUR_MS - 1, aDay(0, "enforce", -100))).toBe(true);
    expect(isObeyed(FIRST + 6 * HOUR_MS, aDay(0, "enforce", -100))).toBe(false);
    expect(isObeyed(FIRST + 12 * HOUR_MS, aDay(0, "enforce", -5))).toBe(true);
    expect(isObeyed(FIRST + 12 * HOUR_MS, aDay(0, "enforce", -50, 99))).toBe(true);
    expect(isObeyed(FIRST + 12 * HOUR_MS, aDay(-1, "enforce", -100), aDay(0, "enforce", 1))).toBe(true);
    expect(isObeyed(FIRST + 5 * DAY_MS, aDay(1, "enforce", -100), aDay(4, "enforce", 1))).toBe(true);
  });
});
