import { describe, expect, it } from "vitest";

import {
  backAndForth,
  metricsOf,
  mismatchedIdle,
  recovery,
  stepsOf,
} from "../../../../simulator/placement/metrics.ts";
import { scenarioWith } from "./scenarios.ts";

describe("the metrics, by hand", () => {
  const demand = [
    [1, 1],
    [2, 0.5],
  ];
  const scenario = scenarioWith(demand, 2);
  const still = [
    [1, 1],
    [1, 1],
  ];
  const best = [
    [1, 1],
    [2, 0],
  ];

  it("compares with the optimum and the best static placement", () => {
    const yardsticks = { optimum: best, bestStatic: still, withFloors: still };
    const moves = [
      { minute: 0, machine: 0, from: null, to: 0 },
      { minute: 1, machine: 1, from: 1, to: 0 },
    ];
    const metrics = metricsOf(scenario, best, moves, yardsticks);
    // Served: best 2 + 2, still 2 + 1.5; one switch in 2 machines × 2 minutes.
    expect(metrics).toMatchObject({
      m1: 1,
      m2: 1,
      m3_mean: 360,
      m3_worst: 720,
      m3_back: 0,
      m4_minutes: null,
    });
    // Model 0 serves 3 instead of 2, model 1 serves 1 instead of 1.5.
    expect(metrics.m5_worst).toBeCloseTo(1 / 1.5);
    expect(metrics.goodput).toBeCloseTo(4 / 4.5);
    expect(metricsOf(scenario, still, [], yardsticks)).toMatchObject({ m1: 3.5 / 4, m2: 0, m3_worst: null });
  });

  it("counts idle only against what is unmet elsewhere in the same minute", () => {
    expect(mismatchedIdle(demand, still)).toBeCloseTo(0.5);
    expect(mismatchedIdle(demand, best)).toBe(0);
  });

  it("knows a machine that goes back within 15 minutes", () => {
    const move = (minute: number, from: number, to: number) => ({ minute, machine: 0, from, to });
    expect(backAndForth([move(0, 0, 1), move(15, 1, 0), move(31, 0, 1), move(32, 1, 2)])).toBe(1);
    // After a failed load it holds nothing, and what it is given then is no switch.
    const given = { minute: 3, machine: 0, from: null, to: 0 };
    expect(backAndForth([move(0, 0, 1), given])).toBe(0);
    expect(backAndForth([move(0, 0, 1), { ...given, to: 1 }, move(9, 1, 0)])).toBe(1);
  });

  it("finds a step and the minutes after it", () => {
    const stepped = Array.from({ length: 120 }, (_, minute) => (minute < 60 ? [8, 2] : [2, 8]));
    expect(stepsOf(scenarioWith(stepped, 10))).toEqual([60]);
    const late = stepped.map((_, minute) => (minute < 64 ? [8, 2] : [2, 8]));
    expect(recovery(60, stepped, late, stepped)).toBe(4);
    expect(recovery(60, stepped, stepped, stepped)).toBe(0);
    const never = stepped.map(() => [8, 2]);
    expect(recovery(60, stepped, never, stepped)).toBe(120);
  });
});
