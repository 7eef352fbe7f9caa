import type { ModelEstimate, PlacementConfig, TickDemand } from "./types.ts";

/**
 * What a model's demand is, from counts per tick: two averages, of which the higher blend wins (rises fast, falls slowly), and the
 * dispersion of the counts, which widens the forecast. Near-Poisson demand that surprises twice in a row is believed at once;
 * bursty demand is not, because a load takes longer than its bursts.
 */

/** Below one request per hour a model has no demand. */
const LEAST_RATE = 1 / 3600;

const JUMP = { sigmas: 2.5, ticks: 2, maxDispersion: 3 } as const;

const UNSEEN: ModelEstimate = {
  fast: null,
  slow: 0,
  dispersion: 2,
  surprises: 0,
  surpriseRate: 0,
  promptTokens: 512,
  outputTokens: 256,
  missShare: 0,
};

/** The estimate after one more tick of `seconds`. Without a count the last one stays. */
export function estimate(
  last: ModelEstimate | undefined,
  tick: TickDemand | undefined,
  seconds: number,
  config: PlacementConfig,
): ModelEstimate {
  const before = last ?? UNSEEN;
  if (tick === undefined) return before;
  const rate = tick.offered / seconds;
  if (before.fast === null) {
    if (tick.offered <= 0) return before;
    return { ...withMeans(before, tick, 1), fast: rate, slow: rate };
  }
  const expected = before.fast * seconds;
  const scale = Math.max(expected, 1);
  const error = tick.offered - expected;
  const dispersion = before.dispersion + 0.02 * (Math.min(50, (error * error) / scale) - before.dispersion);
  const run = surprise(before, rate, error, dispersion, scale);
  const fast = run.jumpTo ?? before.fast;
  return {
    ...withMeans(before, tick, 0.1),
    fast: fast + weight(seconds, config.fastSeconds) * (rate - fast),
    slow: before.slow + weight(seconds, config.slowSeconds) * (rate - before.slow),
    dispersion,
    surprises: run.surprises,
    surpriseRate: run.surpriseRate,
  };
}

/** Requests/s to plan for; 0 without live demand. */
export function planningRate({ fast, slow }: ModelEstimate): number {
  const rate = Math.max(fast ?? 0, ((fast ?? 0) + slow) / 2);
  return rate < LEAST_RATE ? 0 : rate;
}

function weight(seconds: number, constant: number): number {
  return 1 - Math.exp(-seconds / constant);
}

/** Counts surprising ticks of one sign; after two in a row of near-Poisson demand the rate jumps to their mean. */
function surprise(
  before: ModelEstimate,
  rate: number,
  error: number,
  dispersion: number,
  scale: number,
): { surprises: number; surpriseRate: number; jumpTo: number | null } {
  const surprising =
    dispersion < JUMP.maxDispersion &&
    Math.abs(error) > JUMP.sigmas * Math.sqrt(Math.max(dispersion, 1) * scale);
  if (!surprising) return { surprises: 0, surpriseRate: 0, jumpTo: null };
  const sign = Math.sign(error);
  const goesOn = before.surprises * sign > 0;
  const surprises = goesOn ? before.surprises + sign : sign;
  const surpriseRate = goesOn ? before.surpriseRate + rate : rate;
  if (Math.abs(surprises) < JUMP.ticks) return { surprises, surpriseRate, jumpTo: null };
  return { surprises: 0, surpriseRate: 0, jumpTo: surpriseRate / Math.abs(surprises) };
}

function withMeans(before: ModelEstimate, tick: TickDemand, share: number): ModelEstimate {
  if (tick.offered <= 0) return before;
  const towards = (from: number, to: number | null): number =>
    to === null ? from : from + share * (to - from);
  return {
    ...before,
    promptTokens: towards(before.promptTokens, tick.promptTokensMean),
    outputTokens: towards(before.outputTokens, tick.outputTokensMean),
    missShare: before.missShare + 0.05 * (1 - tick.good / tick.offered - before.missShare),
  };
}
