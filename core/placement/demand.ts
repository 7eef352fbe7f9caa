import { afterJump, LAG_SECONDS, lookedBack, NO_OUTLOOK } from "./persistence.ts";
import { roughShare } from "./rough.ts";
import type { BegunEstimate, ModelEstimate, Persistence, PlacementConfig, TickDemand } from "./types.ts";

/**
 * Estimates a model's demand from counts per tick: a fast, a slow and a usual average (of hours), how much of their differences
 * lasts (`persistence.ts`), and the dispersion of the counts, which widens the forecast. If demand is close to Poisson and the
 * error of the forecast is too large for chance, in one tick or summed over a run, demand has jumped (a cumulative sum test).
 * Bursty demand does not jump, because a load takes longer than its bursts.
 */

/** Below one request per hour a model has no demand. */
const LEAST_RATE = 1 / 3600;

/**
 * Share of the temporary part of a rise that is planned for all the same, because a shortage costs more than a surplus. Nothing
 * for rough demand: such a rise is over before a load is.
 */
const RISE_SHARE = 0.5;

/**
 * Sigmas by which a run of errors must be off. Demand that is rougher than Poisson needs more of them, and beyond `maxRoughness` it
 * never jumps. Each tick counts with at most `maxBend` towards roughness, so that one step does not look rough.
 */
const JUMP = { sigmas: 4, calmRoughness: 1.4, roughSigmas: 12, maxRoughness: 3, maxBend: 16 } as const;

/** Share of a new tick in the dispersion and the roughness: more in the first ticks, when little is known. */
const SPREAD_WEIGHT = 0.02;
const SPREAD_PRIOR_TICKS = 5;

/** Largest contribution of one tick to the dispersion, so that a step does not look like a burst for long. */
const SQUARED_ERROR_MOST = 50;

/** Share of a new tick in the mean tokens of a request, and in the share of requests not served in time. */
const TOKENS_WEIGHT = 0.1;
const MISS_WEIGHT = 0.05;

/** Of a model that nobody has asked for yet. */
export const UNSEEN: ModelEstimate = {
  fast: null,
  slow: 0,
  usual: 0,
  averagedSeconds: 0,
  dispersion: 2,
  surprises: 0,
  surpriseRate: 0,
  surpriseExpected: 0,
  roughness: 2,
  recent: [0, 0],
  promptTokens: 512,
  outputTokens: 256,
  missShare: 0,
  ticks: 0,
  ...NO_OUTLOOK,
  later: NO_OUTLOOK,
};

/**
 * The estimate after one more tick of `seconds`. Without a count the last one stays. All models start at the first tick in which
 * any of them has arrivals (`hasStarted`): a model that comes later rises from 0, since a first burst says little about its mean.
 */
export function estimate(
  last: ModelEstimate | undefined,
  tick: TickDemand | undefined,
  seconds: number,
  hasStarted: boolean,
  config: PlacementConfig,
): ModelEstimate {
  const before = last ?? UNSEEN;
  if (tick === undefined || !hasStarted) return before;
  const rate = tick.offered / seconds;
  if (!hasBegun(before)) {
    return { ...withAnswers(before, tick, 1), ...begunAt(rate, seconds), recent: [rate, rate] };
  }
  const forecast = forecastOf(before);
  const spread = spreadAfter(before, tick.offered, rate, seconds);
  const run = runAfter(before, rate, forecast);
  const hasJumped =
    isTooMuch(rate, forecast, spread, seconds) ||
    isTooMuch(run.surpriseRate, run.surpriseExpected, spread, seconds);
  return {
    ...withAnswers(before, tick, TOKENS_WEIGHT),
    ...spread,
    recent: [before.recent[1], rate],
    ticks: Math.min(before.ticks + 1, 1 / SPREAD_WEIGHT),
    later: lookedBack(before.later, before, LAG_SECONDS.later, rate, seconds),
    // What was before a jump says nothing any more: the averages begin anew, and so does the run.
    ...(hasJumped
      ? { ...begunAt(rate, seconds), ...NO_RUN, ...afterJump(before) }
      : {
          ...averaged(before, rate, seconds, config),
          ...run,
          ...lookedBack(before, before, LAG_SECONDS.soon, rate, seconds),
        }),
  };
}

function hasBegun(known: ModelEstimate): known is BegunEstimate {
  return known.fast !== null;
}

type Averages = Pick<BegunEstimate, "fast" | "slow" | "usual" | "averagedSeconds">;

/** Averages that know one tick and nothing before. */
function begunAt(rate: number, seconds: number): Averages {
  return { fast: rate, slow: rate, usual: rate, averagedSeconds: seconds };
}

/** Exponential averages; as long as they stand for less than their time constant, plain means of all that there was. */
function averaged(before: BegunEstimate, rate: number, seconds: number, config: PlacementConfig): Averages {
  const averagedSeconds = before.averagedSeconds + seconds;
  const next = (last: number, constant: number): number =>
    towards(last, rate, Math.max(1 - Math.exp(-seconds / constant), seconds / averagedSeconds));
  return {
    fast: next(before.fast, config.fastSeconds),
    slow: next(before.slow, config.slowSeconds),
    usual: next(before.usual, config.usualSeconds),
    averagedSeconds,
  };
}

/** Requests/s to plan for; 0 without live demand. What was usual hours ago is none by itself. */
export function planningRate(known: ModelEstimate): number {
  if (!hasBegun(known) || Math.max(known.fast, known.slow) < LEAST_RATE) return 0;
  const { fast, roughness } = known;
  const forecast = forecastOf(known);
  const riseShare = RISE_SHARE * (1 - roughShare(roughness));
  const rate = fast > forecast ? towards(forecast, fast, riseShare) : forecast;
  return rate < LEAST_RATE ? 0 : rate;
}

/** Requests/s that are left of the present demand in some twenty minutes; 0 without live demand. */
export function lastingRate(known: ModelEstimate): number {
  if (!hasBegun(known) || planningRate(known) === 0) return 0;
  return forecastOf(known, known.later.persistence);
}

/**
 * The forecast in requests/s: the usual rate, and the share of the differences from it that is expected to last; of the next
 * minutes by default.
 */
function forecastOf(
  { fast, slow, usual, persistence: soon }: BegunEstimate,
  persistence: Persistence = soon,
): number {
  return Math.max(0, usual + persistence.ofSlow * (slow - usual) + persistence.ofFast * (fast - slow));
}

function towards(from: number, to: number, share: number): number {
  return from + share * (to - from);
}

type Spread = Pick<ModelEstimate, "dispersion" | "roughness">;

function spreadAfter(before: BegunEstimate, offered: number, rate: number, seconds: number): Spread {
  const share = Math.max(SPREAD_WEIGHT, 1 / (before.ticks + 1 + SPREAD_PRIOR_TICKS));
  const expected = before.fast * seconds;
  const error = offered - expected;
  const squared = Math.min(SQUARED_ERROR_MOST, (error * error) / Math.max(expected, 1));
  return {
    dispersion: towards(before.dispersion, squared, share),
    roughness: towards(before.roughness, bendOf(before, rate, seconds), share),
  };
}

/**
 * The dispersion of the counts' second difference, of which a level and a trend are no part: it stays near 1 through steps and
 * ramps of Poisson demand, where the dispersion of the forecast's errors does not.
 */
function bendOf({ fast, recent: [older, old] }: BegunEstimate, rate: number, seconds: number): number {
  const bend = (rate - 2 * old + older) * seconds;
  return Math.min(JUMP.maxBend, (bend * bend) / 6 / Math.max(1, old * seconds, fast * seconds));
}

type Run = Pick<ModelEstimate, "surprises" | "surpriseRate" | "surpriseExpected">;

const NO_RUN: Run = { surprises: 0, surpriseRate: 0, surpriseExpected: 0 };

/** The run of errors on one side, which goes on with this tick or begins with it. */
function runAfter(before: ModelEstimate, rate: number, forecast: number): Run {
  const sign = Math.sign(rate - forecast);
  const { surprises, surpriseRate, surpriseExpected } = before.surprises * sign > 0 ? before : NO_RUN;
  return {
    surprises: surprises + sign,
    surpriseRate: surpriseRate + rate,
    surpriseExpected: surpriseExpected + forecast,
  };
}

/** Whether a rate, or a sum of rates, is off by more than chance: then demand has jumped. */
function isTooMuch(rate: number, due: number, { dispersion, roughness }: Spread, seconds: number): boolean {
  if (roughness >= JUMP.maxRoughness) return false;
  const isCalm = roughness < JUMP.calmRoughness;
  const sigmas = isCalm ? JUMP.sigmas : JUMP.roughSigmas;
  const spread = Math.max(1, roughness, isCalm ? Math.sqrt(dispersion * roughness) : dispersion);
  return Math.abs(rate - due) * seconds > sigmas * Math.sqrt(spread * Math.max(1, due * seconds));
}

/** What the answers of the tick say: how long requests are, and how many were not served in time. */
function withAnswers(before: ModelEstimate, tick: TickDemand, tokensWeight: number): ModelEstimate {
  // Answers are counted when they end, so after a rush one request may come with the answers of dozens: no tick says more than any other.
  const missed = tick.offered > 0 ? Math.max(-1, 1 - tick.good / tick.offered) : 0;
  const missShare = towards(before.missShare, missed, MISS_WEIGHT);
  if (tick.offered <= 0) return { ...before, missShare };
  const mean = (last: number, seen: number | null): number =>
    seen === null ? last : towards(last, seen, tokensWeight);
  return {
    ...before,
    promptTokens: mean(before.promptTokens, tick.promptTokensMean),
    outputTokens: mean(before.outputTokens, tick.outputTokensMean),
    missShare,
  };
}
