import { FIRST_LOOK, lookedBack, restarted } from "./persistence.ts";
import type { ModelEstimate, PlacementConfig, TickDemand } from "./types.ts";

/**
 * What a model's demand is, from counts per tick: a fast and a slow average, how much of their difference lasts (`persistence.ts`),
 * and the dispersion of the counts, which widens the forecast. Demand near to Poisson whose errors are too large for chance, in one
 * tick or added up over a run, is believed at once (a cumulative sum test); bursty demand is not, because a load takes longer than
 * its bursts.
 */

/** Below one request per hour a model has no demand. */
const LEAST_RATE = 1 / 3600;

/** Of what a rise is expected to lose again, this share is planned for all the same: a lack costs more than a surplus. */
const RISE_SHARE = 0.5;

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
  persistence: 1,
  look: FIRST_LOOK,
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
  if (before.fast === null)
    return {
      ...withMeans(before, tick, 1),
      fast: rate,
      slow: rate,
      recent: [rate, rate],
      look: restarted(before.look, rate, rate),
    };
  const expected = before.fast * seconds;
  const scale = Math.max(expected, 1);
  const error = tick.offered - expected;
  const squared = Math.min(50, (error * error) / scale);
  const share = spreadWeight(before.ticks);
  const dispersion = before.dispersion + share * (squared - before.dispersion);
  const roughness = before.roughness + share * (bendOf(before, rate, seconds) - before.roughness);
  const run = surprise({ ...before, dispersion, roughness }, rate, forecastOf(before.fast, before), seconds);
  const { jumpTo } = run;
  const fast = towards(jumpTo ?? before.fast, rate, weight(seconds, config.fastSeconds));
  const slow = towards(jumpTo ?? before.slow, rate, weight(seconds, config.slowSeconds));
  // What was forecast before a jump says nothing of the demand after it.
  const looked =
    jumpTo === null
      ? lookedBack(before, tick.offered, seconds, fast, slow)
      : { persistence: before.persistence, look: restarted(before.look, fast, slow) };
  return {
    ...withMeans(before, tick, 0.1),
    ...looked,
    fast,
    slow,
    ticks: Math.min(before.ticks + 1, 1 / SPREAD_WEIGHT),
    dispersion,
    roughness,
    recent: [before.recent[1], rate],
    // After a jump the next run begins.
    surprises: jumpTo === null ? run.ticks : 0,
    surpriseRate: jumpTo === null ? run.rate : 0,
    surpriseExpected: jumpTo === null ? run.expected : 0,
  };
}

/** Requests/s to plan for; 0 without live demand. */
export function planningRate(known: ModelEstimate): number {
  const { fast } = known;
  if (fast === null) return 0;
  const forecast = forecastOf(fast, known);
  const rate = fast > forecast ? towards(forecast, fast, RISE_SHARE) : forecast;
  return rate < LEAST_RATE ? 0 : rate;
}

function forecastOf(fast: number, { slow, persistence }: ModelEstimate): number {
  return towards(slow, fast, persistence);
}

function weight(seconds: number, constant: number): number {
  return 1 - Math.exp(-seconds / constant);
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
 * Adds up what a run of errors on one side is off by. Once it is too much for chance, the rate jumps to that of this tick, if it
 * alone says so, or to the mean of the run.
 */
function surprise(
  before: ModelEstimate,
  rate: number,
  expected: number,
  seconds: number,
): { ticks: number; rate: number; expected: number; jumpTo: number | null } {
  const sign = Math.sign(rate - expected);
  const goesOn = before.surprises * sign > 0;
  const run = {
    ticks: goesOn ? before.surprises + sign : sign,
    rate: goesOn ? before.surpriseRate + rate : rate,
    expected: goesOn ? before.surpriseExpected + expected : expected,
  };
  const { dispersion, roughness } = before;
  if (roughness >= JUMP.maxRoughness) return { ...run, jumpTo: null };
  const isCalm = roughness < JUMP.calmRoughness;
  const sigmas = isCalm ? JUMP.sigmas : JUMP.roughSigmas;
  const spread = Math.max(1, roughness, isCalm ? Math.sqrt(dispersion * roughness) : dispersion);
  const isTooMuch = (got: number, due: number): boolean =>
    Math.abs(got - due) * seconds > sigmas * Math.sqrt(spread * Math.max(1, due * seconds));
  if (isTooMuch(rate, expected)) return { ...run, jumpTo: rate };
  return { ...run, jumpTo: isTooMuch(run.rate, run.expected) ? run.rate / Math.abs(run.ticks) : null };
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
