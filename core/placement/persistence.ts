import type { LookBack, ModelEstimate, Moments, Persistence } from "./types.ts";

/**
 * How much of a change in demand lasts. Every five minutes the planner looks back: how far was the fast average off the slow one
 * then, how far the slow one off the usual one, and how far off the usual one was what came since? The regression of the last on
 * the first two tells which share of each to plan for: near 1 where demand goes from level to level, near 0 where it comes in
 * bursts that are over before a load is.
 */

/** About as long as a load takes and the machine then needs to pay for it. */
const LOOK_SECONDS = 300;

/** Share of one look in what is remembered: a look counts for some four hours. */
const LOOK_WEIGHT = 0.02;

/** How much the belief that all of a change lasts counts beside what was seen (ridge regression towards 1). */
const PRIOR_WEIGHT = 0.3;

const ALL_LASTS: Persistence = { ofFast: 1, ofSlow: 1 };

/** The averages of demand, requests/s. */
type Averages = Pick<LookBack, "fast" | "slow" | "usual">;

export const FIRST_LOOK: LookBack = {
  fast: 0,
  slow: 0,
  usual: 0,
  seconds: 0,
  offered: 0,
  moments: { fastFast: 0, fastSlow: 0, slowSlow: 0, fastCame: 0, slowCame: 0 },
};

/** A look that begins now. */
export function restarted({ moments }: LookBack, averages: Averages): LookBack {
  return { ...averages, seconds: 0, offered: 0, moments };
}

/** After a tick of `seconds` with `offered` arrivals, which the averages have taken in. */
export function lookedBack(
  { persistence, look }: ModelEstimate,
  offered: number,
  seconds: number,
  averages: Averages,
): Pick<ModelEstimate, "persistence" | "look"> {
  const now = { ...look, seconds: look.seconds + seconds, offered: look.offered + offered };
  // Ticks are never to the millisecond.
  if (now.seconds < LOOK_SECONDS - 1) return { persistence, look: now };
  const moments = withOneMore(now);
  return { persistence: persistenceOf(moments), look: restarted({ ...look, moments }, averages) };
}

function withOneMore({ fast, slow, usual, seconds, offered, moments }: LookBack): Moments {
  const ofFast = fast - slow;
  const ofSlow = slow - usual;
  const came = offered / seconds - usual;
  const average = (last: number, product: number): number => last + LOOK_WEIGHT * (product - last);
  return {
    fastFast: average(moments.fastFast, ofFast * ofFast),
    fastSlow: average(moments.fastSlow, ofFast * ofSlow),
    slowSlow: average(moments.slowSlow, ofSlow * ofSlow),
    fastCame: average(moments.fastCame, ofFast * came),
    slowCame: average(moments.slowCame, ofSlow * came),
  };
}

/** Least squares with two variables; a share that would be out of range is put at its end, and the other one fitted to that. */
function persistenceOf({ fastFast, fastSlow, slowSlow, fastCame, slowCame }: Moments): Persistence {
  const [a, d] = [fastFast * (1 + PRIOR_WEIGHT), slowSlow * (1 + PRIOR_WEIGHT)];
  const [u, v] = [fastCame + PRIOR_WEIGHT * fastFast, slowCame + PRIOR_WEIGHT * slowSlow];
  if (a === 0) return ALL_LASTS;
  if (d === 0) return { ofFast: share(u / a), ofSlow: 1 };
  const determinant = a * d - fastSlow * fastSlow;
  const ofSlow = (v * a - u * fastSlow) / determinant;
  const ofFast = (u * d - v * fastSlow) / determinant;
  if (share(ofSlow) !== ofSlow) {
    return { ofFast: share((u - fastSlow * share(ofSlow)) / a), ofSlow: share(ofSlow) };
  }
  if (share(ofFast) !== ofFast) {
    return { ofFast: share(ofFast), ofSlow: share((v - fastSlow * share(ofFast)) / d) };
  }
  return { ofFast, ofSlow };
}

function share(value: number): number {
  return Math.min(1, Math.max(0, value));
}
