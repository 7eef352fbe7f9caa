import { afterJump, lookedBack, NO_HINDSIGHT } from "./persistence.ts";
import type { ModelEstimate, PlacementConfig, TickDemand } from "./types.ts";

/**
 * What a model's demand is, from counts per tick: a fast and a slow average and a usual one of hours, how much of their differences
 * lasts (`persistence.ts`), and the dispersion of the counts, which widens the forecast. Demand near to Poisson whose errors are too
 * large for chance, in one tick or added up over a run, is believed at once (a cumulative sum test); bursty demand is not, because
 * a load takes longer than its bursts.
 */

/** Below one request per hour a model has no demand. */
const LEAST_RATE = 1 / 3600;

/**
 * Of what a rise is expected to lose again this share is planned for all the same, since a lack costs more than a surplus; less of it
 * from the calm roughness on, and nothing where demand is rough: such a rise is over before a load is.
 */
const RISE = { share: 0.5, calmRoughness: 3, roughRoughness: 6 } as const;

/**
 * Sigmas by which a run of errors must be off. Demand that is rougher than Poisson needs more of them, and beyond `maxRoughness` it
 * never jumps. Each tick counts with at most `maxBend` towards roughness, so that one step does not look rough.
 */
const JUMP = { sigmas: 4, calmRoughness: 1.4, roughSigmas: 12, maxRoughness: 3, maxBend: 16 } as const;

/** Share of a new tick in the dispersion and the roughness: more in the first ticks, when little is known. */
const SPREAD_WEIGHT = 0.02;
const SPREAD_PRIOR_TICKS = 5;

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
  persistence: { ofFast: 1, ofSlow: 1 },
  hindsight: NO_HINDSIGHT,
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
  if (before.fast === null) return startedWith(before, tick, seconds, rate);
  const expected = before.fast * seconds;
  const scale = Math.max(expected, 1);
  const error = tick.offered - expected;
  const squared = Math.min(50, (error * error) / scale);
  const share = spreadWeight(before.ticks);
  const dispersion = before.dispersion + share * (squared - before.dispersion);
  const roughness = before.roughness + share * (bendOf(before, rate, seconds) - before.roughness);
  const run = surprise({ ...before, dispersion, roughness }, rate, forecastOf(before.fast, before), seconds);
  const averages = run.isJump ? begunAt(rate, seconds) : averaged(before, before.fast, rate, seconds, config);
  // What was forecast before a jump says nothing of the demand after it.
  const looked = run.isJump
    ? { persistence: before.persistence, hindsight: afterJump(before.hindsight) }
    : lookedBack(before, before.fast, rate, seconds);
  return {
    ...withMeans(before, tick, 0.1),
    ...averages,
    ...looked,
    ticks: Math.min(before.ticks + 1, 1 / SPREAD_WEIGHT),
    dispersion,
    roughness,
    recent: [before.recent[1], rate],
    // After a jump the next run begins.
    surprises: run.isJump ? 0 : run.ticks,
    surpriseRate: run.isJump ? 0 : run.rate,
    surpriseExpected: run.isJump ? 0 : run.expected,
  };
}

type Averages = Pick<ModelEstimate, "slow" | "usual" | "averagedSeconds"> & { readonly fast: number };

function startedWith(before: ModelEstimate, tick: TickDemand, seconds: number, rate: number): ModelEstimate {
  return { ...withMeans(before, tick, 1), ...begunAt(rate, seconds), recent: [rate, rate] };
}

/** Averages that know one tick and nothing before. */
function begunAt(rate: number, seconds: number): Averages {
  return { fast: rate, slow: rate, usual: rate, averagedSeconds: seconds };
}

/** Exponential averages; as long as they stand for less than their time constant, plain means of all that there was. */
function averaged(
  before: ModelEstimate,
  fast: number,
  rate: number,
  seconds: number,
  config: PlacementConfig,
): Averages {
  const averagedSeconds = before.averagedSeconds + seconds;
  const next = (last: number, constant: number): number =>
    towards(last, rate, Math.max(1 - Math.exp(-seconds / constant), seconds / averagedSeconds));
  return {
    fast: next(fast, config.fastSeconds),
    slow: next(before.slow, config.slowSeconds),
    usual: next(before.usual, config.usualSeconds),
    averagedSeconds,
  };
}

/** Requests/s to plan for; 0 without live demand. What was usual hours ago is none by itself. */
export function planningRate(known: ModelEstimate): number {
  const { fast, slow } = known;
  if (fast === null || Math.max(fast, slow) < LEAST_RATE) return 0;
  const forecast = forecastOf(fast, known);
  const rate = fast > forecast ? towards(forecast, fast, riseShare(known.roughness)) : forecast;
  return rate < LEAST_RATE ? 0 : rate;
}

function riseShare(roughness: number): number {
  const { share, calmRoughness, roughRoughness } = RISE;
  return share * Math.min(1, Math.max(0, (roughRoughness - roughness) / (roughRoughness - calmRoughness)));
}

function forecastOf(fast: number, { slow, usual, persistence }: ModelEstimate): number {
  return Math.max(0, usual + persistence.ofSlow * (slow - usual) + persistence.ofFast * (fast - slow));
}

function towards(from: number, to: number, share: number): number {
  return from + share * (to - from);
}

function spreadWeight(ticks: number): number {
  return Math.max(SPREAD_WEIGHT, 1 / (ticks + 1 + SPREAD_PRIOR_TICKS));
}

/**
 * The dispersion of the counts' second difference, of which a level and a trend are no part: it stays near 1 through steps and
 * ramps of Poisson demand, where the dispersion of the forecast's errors does not.
 */
function bendOf({ fast, recent: [older, old] }: ModelEstimate, rate: number, seconds: number): number {
  const bend = (rate - 2 * old + older) * seconds;
  return Math.min(JUMP.maxBend, (bend * bend) / 6 / Math.max(1, old * seconds, (fast ?? 0) * seconds));
}

/**
 * Adds up what a run of errors on one side is off by. Once it is too much for chance, or this tick's error alone is, demand has
 * jumped: what was before says nothing any more, and the averages begin anew.
 */
function surprise(
  before: ModelEstimate,
  rate: number,
  expected: number,
  seconds: number,
): { ticks: number; rate: number; expected: number; isJump: boolean } {
  const sign = Math.sign(rate - expected);
  const goesOn = before.surprises * sign > 0;
  const run = {
    ticks: goesOn ? before.surprises + sign : sign,
    rate: goesOn ? before.surpriseRate + rate : rate,
    expected: goesOn ? before.surpriseExpected + expected : expected,
  };
  const { dispersion, roughness } = before;
  if (roughness >= JUMP.maxRoughness) return { ...run, isJump: false };
  const isCalm = roughness < JUMP.calmRoughness;
  const sigmas = isCalm ? JUMP.sigmas : JUMP.roughSigmas;
  const spread = Math.max(1, roughness, isCalm ? Math.sqrt(dispersion * roughness) : dispersion);
  const isTooMuch = (got: number, due: number): boolean =>
    Math.abs(got - due) * seconds > sigmas * Math.sqrt(spread * Math.max(1, due * seconds));
  return { ...run, isJump: isTooMuch(rate, expected) || isTooMuch(run.rate, run.expected) };
}

function withMeans(before: ModelEstimate, tick: TickDemand, share: number): ModelEstimate {
  const missed = tick.offered > 0 ? 1 - tick.good / tick.offered : 0;
  const missShare = before.missShare + 0.05 * (missed - before.missShare);
  if (tick.offered <= 0) return { ...before, missShare };
  const mean = (last: number, seen: number | null): number =>
    seen === null ? last : towards(last, seen, share);
  return {
    ...before,
    promptTokens: mean(before.promptTokens, tick.promptTokensMean),
    outputTokens: mean(before.outputTokens, tick.outputTokensMean),
    missShare,
  };
}
