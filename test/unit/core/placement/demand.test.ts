import { describe, expect, it } from "vitest";

import { DEFAULT_PLACEMENT_CONFIG } from "../../../../core/placement/config.ts";
import { estimate, lastingRate, planningRate, UNSEEN } from "../../../../core/placement/demand.ts";
import type { ModelEstimate } from "../../../../core/placement/types.ts";
import { modelIdSchema } from "../../../../protocol/ids.ts";

const MODEL = modelIdSchema.parse("acme/a");
const TICK_SECONDS = 30;

function after(
  counts: readonly number[],
  before?: ModelEstimate,
  tickSeconds: number = TICK_SECONDS,
): ModelEstimate {
  let current = before;
  for (const offered of counts) {
    const tick = { modelId: MODEL, offered, good: offered, promptTokensMean: null, outputTokensMean: null };
    current = estimate(current, tick, tickSeconds, true, DEFAULT_PLACEMENT_CONFIG);
  }
  if (current === undefined) throw new Error("no counts were given");
  return current;
}

/** Sways by less than Poisson counts of that mean do. */
function steady(mean: number, ticks: number): number[] {
  return Array.from({ length: ticks }, (_, at) =>
    Math.round(mean + 0.5 * Math.sqrt(mean) * Math.sin(at * 2.4)),
  );
}

const perTick = (known: ModelEstimate): number => planningRate(known) * TICK_SECONDS;

describe("the estimate of demand", () => {
  it("believes a step of steady demand after one tick, up and down", () => {
    const calm = after(steady(100, 100));
    expect(perTick(after([200], calm))).toBeGreaterThan(190);
    expect(perTick(after([20], calm))).toBeLessThan(30);
  });

  it("plans for half of what a rise should lose again, and for nothing of what a fall should win back", () => {
    const known = { ...after(steady(100, 100)), slow: 1, usual: 1, persistence: { ofFast: 0.4, ofSlow: 1 } };
    expect(planningRate({ ...known, fast: 2 })).toBeCloseTo(1.7);
    expect(planningRate({ ...known, fast: 0.5 })).toBeCloseTo(0.8);
  });

  it("plans for nothing of what a rough rise should lose again", () => {
    const rising = { ...after(steady(100, 100)), fast: 2, slow: 1, usual: 1 };
    const known = { ...rising, persistence: { ofFast: 0.4, ofSlow: 1 } };
    expect(planningRate({ ...known, roughness: 4.5 })).toBeCloseTo(1.55);
    expect(planningRate({ ...known, roughness: 6 })).toBeCloseTo(1.4);
    expect(planningRate({ ...known, roughness: 16 })).toBeCloseTo(1.4);
  });

  it("goes back towards what is usual by the shares of both differences that do not last, and never below nothing", () => {
    const calm = { ...after(steady(100, 100)), slow: 2, usual: 4 };
    const known = { ...calm, persistence: { ofFast: 0.5, ofSlow: 0.25 } };
    expect(planningRate({ ...known, fast: 1 })).toBeCloseTo(4 - 0.25 * 2 - 0.5 * 1);
    expect(planningRate({ ...known, fast: 0, slow: 5, usual: 0.5 })).toBe(0);
  });

  it("plans for nothing where nobody has asked for a while, however usual that was hours ago", () => {
    const busy = { ...after(steady(100, 100)), usual: 2, persistence: { ofFast: 0.1, ofSlow: 0.1 } };
    expect(planningRate({ ...busy, fast: 0, slow: 1 / 3000 })).toBeGreaterThan(1);
    expect(planningRate({ ...busy, fast: 0, slow: 1 / 4000 })).toBe(0);
  });

  it("averages all that there was while that is less than an average's time", () => {
    const young = after([0, 90, 30]);
    for (const rate of [young.fast, young.slow, young.usual])
      expect((rate ?? 0) * TICK_SECONDS).toBeCloseTo(40);
  });

  it("begins its averages anew with the tick in which demand has jumped", () => {
    const jumped = after([200], after(steady(100, 100)));
    expect(jumped.averagedSeconds).toBe(TICK_SECONDS);
    const next = after([170], jumped);
    expect((next.fast ?? 0) * TICK_SECONDS).toBeCloseTo(185);
    expect(next.usual * TICK_SECONDS).toBeCloseTo(185);
  });

  it("believes a run of errors that are each within chance", () => {
    const calm = after(steady(100, 100));
    const higher = after([128, 130, 129, 131], calm);
    expect(perTick(higher)).toBeGreaterThan(126);
    expect(perTick(after([128], calm))).toBeLessThan(110);
  });

  it("keeps up with a ramp of steady demand", () => {
    const calm = after(steady(400, 100));
    const ramp = Array.from({ length: 20 }, (_, at) => 400 - 12 * at);
    expect(perTick(after(ramp, calm))).toBeLessThan(220);
  });

  it("plans for a change where changes have lasted, and for little of one where they have not", () => {
    const levels = after(Array.from({ length: 1200 }, (_, at) => (at % 120 < 60 ? 100 : 124)));
    expect(levels.persistence.ofFast).toBeGreaterThan(0.8);
    const bursts = after(Array.from({ length: 1200 }, (_, at) => (at % 16 < 4 ? 180 : 20)));
    expect(bursts.persistence.ofFast).toBeLessThan(0.4);
    const burst = after([180, 180], bursts);
    expect(perTick(burst)).toBeLessThan(90);
    expect(perTick({ ...burst, persistence: { ofFast: 1, ofSlow: 1 } })).toBeGreaterThan(95);
  });

  it("learns apart how much of a change is left twenty minutes later, and where demand jumps as well", () => {
    // Surges of a quarter of an hour: they last for the next minutes, and are over then.
    const surges = Array.from({ length: 2400 }, (_, at) => (at % 120 < 30 ? 180 : 20) + (at % 2) * 16);
    const known = after(surges);
    expect(known.persistence.ofFast).toBeGreaterThan(0.7);
    expect(known.later.persistence.ofFast).toBeLessThan(0.4);
    const surge = { ...known, fast: 6, slow: 2, usual: 2 };
    expect(planningRate(surge)).toBeGreaterThan(1.4 * lastingRate(surge));
    const jumped = after([2000], after(steady(100, 100)));
    expect(jumped.averagedSeconds).toBe(TICK_SECONDS);
    expect(jumped.later.hindsight.lately.slowSlow).toBeGreaterThan(0);
  });

  it("takes nothing to last where there is no live demand", () => {
    const busy = { ...after(steady(100, 100)), usual: 2 };
    expect(lastingRate({ ...busy, later: { ...busy.later, persistence: { ofFast: 0, ofSlow: 0 } } })).toBe(2);
    expect(lastingRate({ ...busy, fast: 0, slow: 0 })).toBe(0);
    expect(lastingRate(UNSEEN)).toBe(0);
  });

  it("learns the same from demand with a period of ten minutes, wherever in it the first arrival is", () => {
    const waves = (first: number) =>
      Array.from({ length: 1205 }, (_, at) => ((at + first) % 20 < 10 ? 180 : 20));
    const ofFast = Array.from({ length: 20 }, (_, first) => after(waves(first)).persistence.ofFast);
    expect(Math.max(...ofFast) - Math.min(...ofFast)).toBeLessThan(0.05);
  });

  it("forgets little of that in one tick, however long nobody has looked", () => {
    const rough = after(
      Array.from({ length: 1200 }, (_, at) => (at % 2 === 0 ? 0 : at % 240 < 120 ? 180 : 40)),
    );
    expect(rough.roughness).toBeGreaterThan(3);
    const { ofFast, ofSlow } = after([0], rough, 36_000).persistence;
    expect(ofFast).toBeCloseTo(rough.persistence.ofFast, 1);
    expect(ofSlow).toBeCloseTo(rough.persistence.ofSlow, 1);
  });

  it("stays a number when a model has not been asked for in half a year", () => {
    const asked = after(Array.from({ length: 200 }, (_, at) => at % 7));
    const silent = after(
      Array.from({ length: 65_000 }, () => 0),
      asked,
      240,
    );
    expect(silent.persistence).toEqual({ ofFast: 1, ofSlow: 1 });
    expect(perTick(after([40, 40, 40], silent))).toBeGreaterThan(20);
  });

  it("starts with the belief that a change lasts, and a jump does not shake it", () => {
    expect(after([100, 100, 140]).persistence).toEqual({ ofFast: 1, ofSlow: 1 });
    const calm = after(steady(100, 100));
    const jumped = after([200], calm);
    expect(jumped.persistence).toEqual(calm.persistence);
    expect(jumped.hindsight.moments).toEqual(calm.hindsight.moments);
    expect(jumped.hindsight.lately.fastFast).toBe(0);
  });

  it("lets one tick in which the answers of a rush end say no more than any other", () => {
    const rush = after(steady(45, 30));
    const late = { modelId: MODEL, offered: 1, good: 45, promptTokensMean: null, outputTokensMean: null };
    const { missShare } = estimate(rush, late, TICK_SECONDS, true, DEFAULT_PLACEMENT_CONFIG);
    expect(missShare).toBeLessThanOrEqual(0);
    expect(missShare).toBeGreaterThan(-0.06);
  });

  it("learns in the first minutes how far counts spread", () => {
    const swaying = Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? 140 : 60));
    expect(after(swaying).dispersion).toBeGreaterThan(8);
  });

  it("believes of rather rough demand only what is far beyond chance", () => {
    const rough = after(Array.from({ length: 200 }, (_, at) => 100 + (at % 2 === 0 ? 9 : -9)));
    expect(rough.roughness).toBeGreaterThan(1.4);
    expect(rough.roughness).toBeLessThan(3);
    expect(perTick(after([190], rough))).toBeLessThan(150);
    expect(perTick(after([500], rough))).toBeGreaterThan(480);
  });

  it("does not jump with demand that comes in bursts", () => {
    const bursts = after(Array.from({ length: 200 }, (_, at) => (at % 4 < 2 ? 180 : 20)));
    expect(bursts.roughness).toBeGreaterThan(2);
    expect(perTick(after([180], bursts))).toBeLessThan(150);
  });
});
