import type { ScoredDay, ScoredMode } from "./score.ts";

/**
 * A planner that has to earn the right to move machines, and can lose it. It begins by showing its plans only. Once they would have
 * won on enough days in a row, they are carried out; if what they then win is less than nothing, they are only shown again, and
 * the days are counted anew.
 *
 * Days are those of the score, so what is judged is the fleet's own demand, with loads and all.
 */
export interface Trial {
  readonly mode: ScoredMode;
  /** Since when it acts so, ms since the epoch. */
  readonly since: number;
  /** Days that began before this do not count for it: they were judged already. */
  readonly countsFrom: number;
}

const DAY_MS = 86_400_000;

/** A day with fewer requests says nothing. */
const LEAST_OFFERED = 100;

/** The first moves cost more than they have won yet. */
const LEAST_ENFORCED_MS = 6 * 3_600_000;

/** Of the requests: a loss up to this is the noise of counts. */
const LOSS_SHARE = 0.005;

/** @param last null when the trial begins: then days of shadow that there are already count. */
export function tried(last: Trial | null, days: readonly ScoredDay[], trialDays: number, now: number): Trial {
  const trial = last ?? { mode: "shadow", since: now, countsFrom: 0 };
  if (trial.mode === "shadow") {
    return daysWon(trial, days, trialDays, now) < trialDays
      ? trial
      : { ...trial, mode: "enforce", since: now };
  }
  return isLosing(trial, days, trialDays, now) ? { mode: "shadow", since: now, countsFrom: now } : trial;
}

/** Of the newest whole days in shadow, how many in a row would have won; no more are looked at than may still be true. */
export function daysWon(
  { countsFrom }: Trial,
  days: readonly ScoredDay[],
  trialDays: number,
  now: number,
): number {
  const from = Math.max(countsFrom, now - (2 * trialDays + 1) * DAY_MS);
  let won = 0;
  for (const { dayAt, mode, offered, otherwise, asPlaced } of days.toReversed()) {
    if (mode !== "shadow" || dayAt < from || dayAt + DAY_MS > now) continue;
    // A day on which there was nothing to win is no day against it.
    if (offered < LEAST_OFFERED || otherwise === asPlaced) continue;
    if (otherwise < asPlaced) break;
    won += 1;
  }
  return won;
}

function isLosing({ since }: Trial, days: readonly ScoredDay[], trialDays: number, now: number): boolean {
  if (now - since < LEAST_ENFORCED_MS) return false;
  let [offered, won] = [0, 0];
  for (const day of days) {
    const isRecent = day.dayAt + DAY_MS > since && day.dayAt > now - trialDays * DAY_MS;
    if (day.mode !== "enforce" || !isRecent) continue;
    offered += day.offered;
    won += day.asPlaced - day.otherwise;
  }
  return offered >= LEAST_OFFERED && won < -LOSS_SHARE * offered;
}
