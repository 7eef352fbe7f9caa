import type { ForecastErrors } from "./types.ts";

/**
 * How far forecasts of demand were off some minutes later: the variance of what came around what had been expected, by its mean.
 * Of forecasts the averages are kept, with weights that fade, as `persistence.ts` does it with differences.
 */

/** How long ago the forecasts were made, on average. */
const LAG_SECONDS = 300;

/** How long an error counts, and for so long a tick counts at most. */
const MEMORY_SECONDS = 30_000;
const TICK_COUNTS_SECONDS = 300;

/** No tick counts with more than so many times the usual squared error: a step of demand is not what is to be expected. */
const SQUARED_MOST = 9;

/** Before so many ticks nothing is usual. */
const USUAL_AFTER_TICKS = 20;

export const NO_ERRORS: ForecastErrors = {
  lately: { forecast: 0, squared: 0, known: 0 },
  squaredError: 0,
  forecast: 0,
  known: 0,
};

/** After a jump: what was expected before it has nothing to do with what comes. */
export function errorsAfterJump(errors: ForecastErrors): ForecastErrors {
  return { ...errors, lately: NO_ERRORS.lately };
}

/**
 * After a tick of `seconds` in which requests came at `rate` per second.
 *
 * @param forecast that the tick began with, requests/s.
 * @param ticks that were learned from before.
 */
export function errorsAfter(
  last: ForecastErrors,
  forecast: number,
  rate: number,
  seconds: number,
  ticks: number,
): ForecastErrors {
  const soon = 1 - Math.exp(-seconds / LAG_SECONDS);
  const lately = {
    forecast: last.lately.forecast + soon * (forecast - last.lately.forecast),
    squared: last.lately.squared + soon * (forecast * forecast - last.lately.squared),
    known: last.lately.known + soon * (1 - last.lately.known),
  };
  const long = 1 - Math.exp(-Math.min(seconds, TICK_COUNTS_SECONDS) / MEMORY_SECONDS);
  const error = lately.known * rate * rate - 2 * rate * lately.forecast + lately.squared;
  const counted = Math.min(error, lately.known * mostOf(last, rate, seconds, ticks));
  return {
    lately,
    squaredError: last.squaredError + long * (counted - last.squaredError),
    forecast: last.forecast + long * (lately.forecast - last.forecast),
    known: last.known + long * (lately.known - last.known),
  };
}

function mostOf(
  { squaredError, known }: ForecastErrors,
  rate: number,
  seconds: number,
  ticks: number,
): number {
  if (ticks < USUAL_AFTER_TICKS || known === 0) return Infinity;
  return SQUARED_MOST * Math.max(squaredError / known, rate / seconds);
}

/** Variance of what comes some minutes after a forecast, by its mean, requests/s; 0 as long as nothing is known. */
export function errorVariance({ squaredError, forecast }: ForecastErrors): number {
  return forecast === 0 ? 0 : Math.max(0, squaredError) / forecast;
}
