import type { BegunEstimate, Differences, Hindsight, Moments, Outlook, Persistence } from "./types.ts";

/**
 * How much of a change in demand lasts. Every tick looks back on the last minutes: how far was the fast average off the slow one
 * then, how far the slow one off the usual one, and how far off the usual one is what comes now? The regression of the last on
 * the first two tells which share of each to plan for: near 1 where demand goes from level to level, near 0 where it comes in
 * bursts that are over before a load is.
 *
 * What was seen then is averaged with weights that fade (an eligibility trace: Sutton and Barto, Reinforcement Learning, chapter 12),
 * not taken at one moment: demand with a period could fall into step with looks that come at a fixed interval.
 */

/**
 * Mean lag of the regression. `soon`: about as long as a load takes and the machine then needs to pay for it. `later`: as long
 * as a burst must last to be worth two loads, there and back.
 */
export const LAG_SECONDS = { soon: 150, later: 1200 } as const;

/** Time constant of the moments, in seconds: how long what was learned counts. */
const MEMORY_SECONDS = 30_000;

/** Longest time that one tick counts for: after hours without a tick, one error would outweigh all that was learned. */
const TICK_COUNTS_SECONDS = 300;

/** How much the belief that all of a change lasts counts beside what was seen (ridge regression towards 1). */
const PRIOR_WEIGHT = 0.15;

const ALL_LASTS: Persistence = { ofFast: 1, ofSlow: 1 };

const NO_DIFFERENCES: Differences = {
  fast: 0,
  slow: 0,
  fastUsual: 0,
  slowUsual: 0,
  fastFast: 0,
  fastSlow: 0,
  slowSlow: 0,
};

export const NO_HINDSIGHT: Hindsight = {
  lately: NO_DIFFERENCES,
  moments: { fastFast: 0, fastSlow: 0, slowSlow: 0, fastCame: 0, slowCame: 0 },
};

export const NO_OUTLOOK: Outlook = { persistence: ALL_LASTS, hindsight: NO_HINDSIGHT };

/** After a jump: what was before it says nothing of the next minutes. */
export function afterJump({ hindsight: { moments } }: Outlook): Pick<Outlook, "hindsight"> {
  return { hindsight: { lately: NO_DIFFERENCES, moments } };
}

type Averages = Pick<BegunEstimate, "fast" | "slow" | "usual">;

/**
 * After a tick of `seconds` in which requests came at `rate` per second.
 *
 * @param averages as the tick began.
 * @param lag how long ago what is looked back on was, seconds.
 */
export function lookedBack(
  { hindsight }: Outlook,
  averages: Averages,
  lag: number,
  rate: number,
  seconds: number,
): Outlook {
  const lately = withDifferences(hindsight.lately, averages, fading(seconds, lag));
  const moments = withWhatCame(
    hindsight.moments,
    lately,
    rate,
    fading(Math.min(seconds, TICK_COUNTS_SECONDS), MEMORY_SECONDS),
  );
  return { persistence: persistenceOf(moments), hindsight: { lately, moments } };
}

/** An exponential average after `seconds` more, from its last value and the new one. */
function fading(seconds: number, constant: number): (last: number, next: number) => number {
  const weight = 1 - Math.exp(-seconds / constant);
  return (last, next) => last + weight * (next - last);
}

type Average = ReturnType<typeof fading>;

function withDifferences(last: Differences, { fast, slow, usual }: Averages, average: Average): Differences {
  const ofFast = fast - slow;
  const ofSlow = slow - usual;
  return {
    fast: average(last.fast, ofFast),
    slow: average(last.slow, ofSlow),
    fastUsual: average(last.fastUsual, ofFast * usual),
    slowUsual: average(last.slowUsual, ofSlow * usual),
    fastFast: average(last.fastFast, ofFast * ofFast),
    fastSlow: average(last.fastSlow, ofFast * ofSlow),
    slowSlow: average(last.slowSlow, ofSlow * ofSlow),
  };
}

function withWhatCame(last: Moments, lately: Differences, rate: number, average: Average): Moments {
  return {
    fastFast: average(last.fastFast, lately.fastFast),
    fastSlow: average(last.fastSlow, lately.fastSlow),
    slowSlow: average(last.slowSlow, lately.slowSlow),
    fastCame: average(last.fastCame, lately.fast * rate - lately.fastUsual),
    slowCame: average(last.slowCame, lately.slow * rate - lately.slowUsual),
  };
}

/** Least squares with two variables. A share out of range is set to the limit, and the other one fitted to that. */
function persistenceOf({ fastFast, fastSlow, slowSlow, fastCame, slowCame }: Moments): Persistence {
  const [a, d] = [fastFast * (1 + PRIOR_WEIGHT), slowSlow * (1 + PRIOR_WEIGHT)];
  const [u, v] = [fastCame + PRIOR_WEIGHT * fastFast, slowCame + PRIOR_WEIGHT * slowSlow];
  if (a === 0) return ALL_LASTS;
  if (d === 0) return { ofFast: share(u / a), ofSlow: 1 };
  const determinant = a * d - fastSlow * fastSlow;
  // After months without a request too little is left of what was learned to divide by it.
  if (determinant === 0) return ALL_LASTS;
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
