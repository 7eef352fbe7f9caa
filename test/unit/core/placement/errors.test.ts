import { describe, expect, it } from "vitest";

import { errorsAfter, errorsAfterJump, errorVariance, NO_ERRORS } from "../../../../core/placement/errors.ts";
import type { ForecastErrors } from "../../../../core/placement/types.ts";

const TICK_SECONDS = 30;

interface Tick {
  readonly forecast: number;
  readonly rate: number;
  readonly seconds?: number;
}

function after(ticks: readonly Tick[], before: ForecastErrors = NO_ERRORS): ForecastErrors {
  return ticks.reduce(
    (last, { forecast, rate, seconds = TICK_SECONDS }, at) =>
      errorsAfter(last, forecast, rate, seconds, before === NO_ERRORS ? at : 1000),
    before,
  );
}

/** Off by 1 and by -1 in turns. */
const swaying = (ticks: number): Tick[] =>
  Array.from({ length: ticks }, (_, at) => ({ forecast: 4, rate: at % 2 === 0 ? 5 : 3 }));

describe("errors of forecasts", () => {
  it("are none as long as nothing is known, and none where forecasts hold", () => {
    expect(errorVariance(NO_ERRORS)).toBe(0);
    expect(errorVariance(after(Array.from({ length: 99 }, () => ({ forecast: 4, rate: 4 }))))).toBeCloseTo(0);
  });

  it("are the variance of what came, by its mean", () => {
    expect(errorVariance(after(swaying(2)))).toBeCloseTo(1 / 4);
    expect(errorVariance(after(swaying(2000)))).toBeCloseTo(1 / 4);
  });

  it("are those of the forecasts of minutes ago, not of the last one", () => {
    const ramp = Array.from({ length: 4000 }, (_, at) => ({ forecast: at * 0.01, rate: at * 0.01 }));
    // 300 s are 10 ticks: the rates are 0.1 higher on average, and the mean square of exponentially spread lags is twice that.
    expect(after(ramp).squaredError / after(ramp).known).toBeCloseTo(0.02, 2);
  });

  it("count little of a step, and nothing of what was expected before a jump", () => {
    const known = after(swaying(2000));
    const step = Array.from({ length: 10 }, () => ({ forecast: 4, rate: 40 }));
    expect(errorVariance(after(step, known))).toBeLessThan(1.2 * errorVariance(known));
    const jumped = Array.from({ length: 10 }, () => ({ forecast: 40, rate: 40 }));
    expect(errorVariance(after(jumped, errorsAfterJump(known)))).toBeLessThan(errorVariance(known));
  });

  it("are forgotten little in one tick, however long nobody has looked", () => {
    const known = after(swaying(2000));
    const late = after([{ forecast: 4, rate: 4, seconds: 36_000 }], known);
    expect(late.squaredError).toBeGreaterThan(0.98 * known.squaredError);
  });
});
