import { describe, expect, it } from "vitest";

import { servedPerMinute, sum } from "../../../../simulator/placement/metrics.ts";
import { SWITCH_COST } from "../../../../simulator/placement/network.ts";
import { optimumOf } from "../../../../simulator/placement/optimum.ts";
import { bestStaticPlacement } from "../../../../simulator/placement/policies/best-static.ts";
import { randomFrom } from "../../../../simulator/placement/random.ts";
import type { Scenario } from "../../../../simulator/placement/scenario.ts";
import { scenarioWith } from "./scenarios.ts";

/** Tries every plan: where each machine is, or how long it still loads. */
function bruteForce({ demand, machines, models, switchMinutes }: Scenario): number {
  type State = readonly { readonly model: number; readonly wait: number }[];
  const known = new Map<string, number>();
  const choices = (state: State, index: number): State[] => {
    const machine = state[index];
    if (!machine) return [state];
    const here = machine.wait === 0 ? models.map((_, model) => model) : [machine.model];
    return here.flatMap((model) => {
      const wait = model === machine.model ? machine.wait : switchMinutes;
      return choices(state.with(index, { model, wait }), index + 1);
    });
  };
  const best = (minute: number, state: State): number => {
    const row = demand[minute];
    if (!row) return 0;
    const key = `${minute} ${state
      .map(({ model, wait }) => `${model}.${wait}`)
      .toSorted()
      .join(" ")}`;
    const before = known.get(key);
    if (before !== undefined) return before;
    let most = Number.NEGATIVE_INFINITY;
    for (const next of choices(state, 0)) {
      const moved = next.filter(({ model }, index) => model !== state[index]?.model).length;
      const served = row.map((wanted, model) =>
        Math.min(wanted, next.filter((machine) => machine.model === model && machine.wait === 0).length),
      );
      const after = next.map(({ model, wait }) => ({ model, wait: Math.max(0, wait - 1) }));
      most = Math.max(most, sum(served) - SWITCH_COST * moved + best(minute + 1, after));
    }
    known.set(key, most);
    return most;
  };
  let most = 0;
  const starts = models.length ** machines.length;
  for (let start = 0; start < starts; start += 1) {
    const state = machines.map((_, index) => ({
      model: Math.floor(start / models.length ** index) % models.length,
      wait: 0,
    }));
    most = Math.max(most, best(0, state));
  }
  return most;
}

function randomDemand(seed: number, minutes: number, models: number, most: number): number[][] {
  const random = randomFrom(seed);
  return Array.from({ length: minutes }, () => Array.from({ length: models }, () => random() * most));
}

describe("the optimum", () => {
  it.each([1, 2, 3, 4, 5, 6])("is what trying every plan finds, seed %i", async (seed) => {
    const scenario = scenarioWith(randomDemand(seed, 7, 2 + (seed % 2), 2.5), 3, {
      switchMinutes: 1 + (seed % 2),
    });
    const optimum = await optimumOf(scenario, false);
    if (!optimum) throw new Error("no optimum");
    const value = sum(servedPerMinute(scenario.demand, optimum.ready)) - SWITCH_COST * optimum.switches;
    expect(value).toBeCloseTo(bruteForce(scenario), 6);
    expect(optimum.moves.filter((move) => move.from !== null)).toHaveLength(optimum.switches);
  });

  it("loses next to nothing by windows", async () => {
    const scenario = scenarioWith(randomDemand(9, 240, 3, 4), 6);
    const whole = await optimumOf(scenario, false, { keep: 240, overlap: 0 });
    const parts = await optimumOf(scenario, false, { keep: 60, overlap: 30 });
    const value = (ready: readonly (readonly number[])[] = []) =>
      sum(servedPerMinute(scenario.demand, ready));
    expect(value(parts?.ready) / value(whole?.ready)).toBeGreaterThan(0.999);
  });

  it("keeps the floors when asked", async () => {
    const demand = Array.from({ length: 10 }, () => [5, 0.1]);
    const scenario = scenarioWith(demand, 3);
    const floored = { ...scenario, models: scenario.models.map((model) => ({ ...model, floor: 1 })) };
    expect((await optimumOf(floored, false))?.ready.every((row) => row[1] === 0)).toBe(true);
    expect((await optimumOf(floored, true))?.ready.every((row) => row[1] === 1)).toBe(true);
  });

  it("is an upper bound with several kinds of machines", async () => {
    const demand = randomDemand(3, 8, 2, 2);
    const scenario = scenarioWith(demand, 2);
    const [first, second] = scenario.machines;
    if (!first || !second) throw new Error("no machines");
    const mixed = { ...scenario, machines: [first, { ...second, speeds: [0.5, 0.5] }] };
    const value = (ready: readonly (readonly number[])[] = []) => sum(servedPerMinute(demand, ready));
    const optimum = await optimumOf(mixed, false);
    expect(optimum?.wholeMachines).toBe(false);
    const stills = [0, 1].flatMap((left) => [0, 1].map((right) => demand.map(() => placed(left, right))));
    for (const still of stills) expect(value(optimum?.ready)).toBeGreaterThanOrEqual(value(still) - 1e-9);

    function placed(left: number, right: number): number[] {
      return [0, 1].map((model) => (left === model ? 1 : 0) + (right === model ? 0.5 : 0));
    }
  });

  it.each([0, 1])(
    "lets machines wait for which the caps leave no room, switches of %i minutes",
    async (switchMinutes) => {
      const scenario = scenarioWith(randomDemand(6, 20, 2, 3), 5, { switchMinutes });
      const models = scenario.models.map((model) => ({ ...model, cap: 1 }));
      const optimum = await optimumOf({ ...scenario, models }, false, { keep: 6, overlap: 4 });
      expect(optimum?.switches).toBe(0);
      expect(optimum?.ready).toEqual(scenario.demand.map(() => [1, 1]));
      expect(optimum?.moves.map(({ machine }) => machine)).toEqual([0, 1]);
    },
  );

  it("leaves out machines that no model fits on", async () => {
    const scenario = scenarioWith(randomDemand(7, 10, 2, 2), 3);
    const [first, ...others] = scenario.machines;
    if (!first) throw new Error("no machines");
    const optimum = await optimumOf(
      { ...scenario, machines: [{ ...first, speeds: [0, 0] }, ...others] },
      false,
    );
    expect(optimum?.wholeMachines).toBe(true);
    expect(new Set(optimum?.moves.map(({ machine }) => machine))).toEqual(new Set([1, 2]));
    expect(optimum?.ready.map(sum).every((count) => count <= 2)).toBe(true);
  });

  it("has a machine go again before it has loaded", async () => {
    const outages = [
      { machine: 0, from: 3, until: 6 },
      { machine: 0, from: 7, until: 9 },
    ];
    const scenario = scenarioWith(randomDemand(8, 15, 2, 2), 1, { outages, switchMinutes: 2 });
    const counts = (await optimumOf(scenario, false))?.ready.map(sum);
    expect(counts).toEqual([1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
  });

  it("never serves with more machines than are there", async () => {
    const outages = [{ machine: 0, from: 3, until: 6 }];
    const scenario = scenarioWith(randomDemand(5, 12, 2, 3), 3, { outages });
    const counts = (await optimumOf(scenario, false))?.ready.map(sum) ?? [];
    expect(counts.slice(3, 7).every((count) => count <= 2)).toBe(true);
    expect(Math.max(...counts)).toBe(3);
  });
});

it("the best static placement is the best of all", () => {
  const demand = randomDemand(11, 20, 3, 4);
  const scenario = scenarioWith(demand, 5);
  const counts = (placement: readonly (number | null)[]) =>
    [0, 1, 2].map((one) => placement.filter((m) => m === one).length);
  const value = (row: readonly number[]) =>
    sum(
      servedPerMinute(
        demand,
        demand.map(() => row),
      ),
    );
  let best = 0;
  for (let a = 0; a <= 5; a += 1)
    for (let b = 0; a + b <= 5; b += 1) best = Math.max(best, value([a, b, 5 - a - b]));
  expect(value(counts(bestStaticPlacement(scenario)))).toBeCloseTo(best, 9);
});
