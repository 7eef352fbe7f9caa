import { describe, expect, it } from "vitest";

import type { MachineView, Move, Policy } from "../../../../simulator/placement/policy.ts";
import { poisson, randomFrom } from "../../../../simulator/placement/random.ts";
import { reportHtml } from "../../../../simulator/placement/report-html.ts";
import { reportText } from "../../../../simulator/placement/report-text.ts";
import type { Scenario } from "../../../../simulator/placement/scenario.ts";
import { POLICY_NAMES, simulate } from "../../../../simulator/placement/simulate.ts";
import { replay } from "../../../../simulator/placement/world.ts";
import { scenarioWith } from "./scenarios.ts";

const random = randomFrom(4);
const DEMAND = Array.from({ length: 90 }, (_, minute) => {
  const wave = Math.sin(minute / 15);
  return [3 + 2 * wave, 3 - 2 * wave].map((mean) => poisson(mean * 40, random) / 40);
});

function withFloors(scenario: Scenario): Scenario {
  return { ...scenario, models: scenario.models.map((model) => ({ ...model, floor: 1 })) };
}

/** The linear programs take their time. */
const TIME_MS = 120_000;

describe("a simulation", { timeout: TIME_MS }, () => {
  const rough = scenarioWith(DEMAND, 8, {
    loadFailures: 0.3,
    observe: "refusals",
    outages: [{ machine: 2, from: 10, until: 20 }],
  });

  it("gives the same result for the same seed, and the documented JSON", async () => {
    const result = await simulate(rough, POLICY_NAMES);
    expect(JSON.stringify(await simulate(rough, POLICY_NAMES))).toBe(JSON.stringify(result));
    expect(Object.keys(result.policies)).toEqual([...POLICY_NAMES]);
    for (const policy of Object.values(result.policies)) {
      const { metrics, series } = policy;
      expect(Object.keys(metrics)).toEqual(
        expect.arrayContaining(["m1", "m2", "m3_mean", "m3_worst", "m4_minutes", "m5_worst", "m6", "m7"]),
      );
      expect(series.t_s).toHaveLength(90);
      expect(series.t_s.slice(0, 3)).toEqual([0, 60, 120]);
      expect(series.demand).toEqual(DEMAND);
      expect(series.ready).toHaveLength(90);
      expect(series.moves.filter(([t_s, , from]) => t_s === 0 && from === null)).toHaveLength(8);
      expect(metrics.m1).toBeLessThanOrEqual(1 + 1e-9);
    }
    expect(result.policies["best-static"]?.metrics.m2).toBe(0);
  });

  it("another seed fails other loads", async () => {
    const other = await simulate({ ...rough, seed: 2 }, ["proportional"]);
    expect(other).not.toEqual(await simulate(rough, ["proportional"]));
  });

  it("bounds by an optimum with floors what a policy that keeps them can reach", async () => {
    const demand = Array.from({ length: 60 }, (_, minute) => (minute < 30 ? [6, 0.1] : [0.1, 6]));
    const floored = withFloors(scenarioWith(demand, 4));
    const { policies, notes } = await simulate(floored, ["optimum", "optimum-floors"]);
    expect(policies.optimum?.metrics.m1).toBe(1);
    // A machine stays with the model that needs a tenth of it: of four busy ones it serves 3.1 where the optimum serves 4.
    expect(policies["optimum-floors"]?.metrics.m1).toBeCloseTo(3.1 / 4, 1);
    expect(policies["optimum-floors"]?.metrics.m5_worst).toBe(1);
    expect(notes.join()).not.toContain("not measured");
    const outages = [{ machine: 0, from: 10, until: 20 }];
    const without = await simulate(withFloors(scenarioWith(demand, 2, { outages })), ["optimum-floors"]);
    expect(without.policies).toEqual({});
    expect(without.notes.join()).toContain("optimum-floors are not measured");
  });

  it("routes the requests of M7 in minutes that have some", async () => {
    // Nobody asks for anything after the step, and in the middle.
    const demand = Array.from({ length: 90 }, (_, minute) =>
      minute < 30 ? [4, 2] : minute < 60 ? [0, 0] : [2, 2],
    );
    const { notes } = await simulate(scenarioWith(demand, 6), ["ours"]);
    expect(notes[0]).toMatch(/^M7 is counted in minutes 0 to 9/);
    expect((await simulate(scenarioWith(demand, 6), ["optimum"])).notes).toEqual([]);
  });

  it("reports as text and as a page that needs nothing else", async () => {
    const result = await simulate(rough, ["ours", "optimum"]);
    const text = reportText({ ...result, notes: ["a long note ".repeat(30)] });
    expect(text).toMatch(/^ours /m);
    expect(text).toMatch(/^M7 +requests refused while a machine had room$/m);
    expect(text).toMatch(/^- +nothing to measure$/m);
    for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    const page = reportHtml(result, { trace: "<b>.csv", fleet: "f.json" });
    expect(page).toContain("&lt;b&gt;.csv");
    expect(page).toContain("Demand that the optimum served");
    expect(page).not.toMatch(/<script|<link|<img|src=|href=|url\(|@import|https?:/);
    const { optimum: _, ...policies } = result.policies;
    const without = reportHtml({ ...result, policies }, { trace: "t.csv", fleet: "f.json" });
    expect(without).toContain("Demand that was not served");
    expect(without).not.toContain("Demand that the optimum served");
  });
});

describe("the world of the real control plane and pools", () => {
  const IDLE = Array.from({ length: 10 }, () => [0.5, 0.5]);

  /** Orders what it is told to in each minute, and keeps what it saw. */
  function ordering(orders: Readonly<Record<number, Move[]>>): Policy & { seen: (readonly MachineView[])[] } {
    const seen: (readonly MachineView[])[] = [];
    return {
      seen,
      decide: ({ minute, machines }) => {
        seen.push(machines);
        return orders[minute] ?? [];
      },
    };
  }

  const readyOf = (run: { ready: readonly (readonly number[])[] }, model: number) =>
    run.ready.map((row) => row[model]);

  it("lets a machine serve nothing while it switches, and then the new model", () => {
    const scenario = scenarioWith(IDLE, 2, { switchMinutes: 2 });
    const run = replay(scenario, [0, 0], ordering({ 5: [{ machine: 1, model: 1 }] }));
    expect(readyOf(run, 0)).toEqual([2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
    expect(readyOf(run, 1)).toEqual([0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    expect(run.moves.filter(({ from }) => from !== null)).toEqual([
      { minute: 5, machine: 1, from: 0, to: 1 },
    ]);
  });

  it("has a switch of four minutes within the coordinator's own time limits", () => {
    const run = replay(
      scenarioWith(IDLE, 2, { switchMinutes: 4 }),
      [0, 0],
      ordering({ 2: [{ machine: 0, model: 1 }] }),
    );
    expect(readyOf(run, 1)).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
  });

  it("has a switch that takes no time at all", () => {
    const run = replay(
      scenarioWith(IDLE, 2, { switchMinutes: 0 }),
      [0, 0],
      ordering({ 2: [{ machine: 0, model: 1 }] }),
    );
    expect(readyOf(run, 0)).toEqual([2, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
    expect(readyOf(run, 1)).toEqual([0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  });

  it("keeps the caps from the first placement on, with machines left over", async () => {
    const demand = Array.from({ length: 20 }, () => [3, 3]);
    const outages = [0, 1, 2, 3, 4, 5].map((machine) => ({ machine, from: 5, until: 8 }));
    const capped = scenarioWith(demand, 6, { outages });
    const models = capped.models.map((model) => ({ ...model, cap: 2 }));
    const result = await simulate({ ...capped, models }, POLICY_NAMES);
    for (const [name, { metrics, series }] of Object.entries(result.policies)) {
      for (const row of series.ready) expect(Math.max(...row)).toBeLessThanOrEqual(2);
      const placed = new Set(series.moves.map(([, machine]) => machine)).size;
      expect(placed).toBeLessThanOrEqual(name === "optimum" ? 6 : 4);
      expect(metrics.m1).toBeLessThanOrEqual(1 + 1e-9);
    }
    expect(result.policies.optimum?.metrics.m3_mean).toBe(0);
  });

  it("sees a machine go and come back with the model it had, after loading it", () => {
    const outages = [{ machine: 0, from: 1, until: 3 }];
    const policy = ordering({});
    const run = replay(scenarioWith(IDLE, 1, { switchMinutes: 1, outages }), [1], policy);
    expect(readyOf(run, 1).slice(0, 5)).toEqual([1, 0, 0, 0, 1]);
    expect(policy.seen.slice(0, 4).map(([view]) => view?.state)).toEqual([
      "away",
      "away",
      "switching",
      "ready",
    ]);
  });

  it("knows an empty machine after a failed load, and sends no model where it does not fit", () => {
    const scenario = scenarioWith(IDLE, 1, { loadFailures: 1 });
    const policy = ordering({ 1: [{ machine: 0, model: 1 }] });
    replay(scenario, [0], policy);
    expect(policy.seen[1]?.[0]).toMatchObject({ state: "empty", model: null });
    const [only] = scenario.machines;
    if (!only) throw new Error("no machine");
    const small = { ...scenario, machines: [{ ...only, speeds: [1, 0] }] };
    const run = replay(small, [0], ordering({ 1: [{ machine: 0, model: 1 }] }));
    expect(readyOf(run, 0)).toEqual(IDLE.map(() => 1));
  });

  it("is moved by the coordinator's own tick", () => {
    const demand = Array.from({ length: 30 }, (_, minute) => (minute < 10 ? [3, 1] : [1, 3]));
    const run = replay(scenarioWith(demand, 4), [0, 0, 0, 1], "enforce");
    expect(run.ready.at(-1)).toEqual([1, 3]);
  });

  it("[C15] says in shadow what enforce then reaches, and in enforce what there would have been without it", () => {
    const demand = Array.from({ length: 240 }, (_, minute) => (minute % 120 < 60 ? [6, 1.5] : [1.5, 6]));
    const scenario = scenarioWith(demand, 8, { switchMinutes: 1 });
    const first = [0, 0, 0, 0, 1, 1, 1, 1];
    const [shadow] = replay(scenario, first, "shadow").score;
    const [enforced] = replay(scenario, first, "enforce").score;
    if (shadow === undefined || enforced === undefined) throw new Error("nothing was scored");
    const shareOf = (room: number): number => room / shadow.offered;
    expect(enforced.offered).toBe(shadow.offered);
    expect(shareOf(shadow.asPlaced)).toBeLessThan(0.8);
    expect(shareOf(enforced.asPlaced)).toBeGreaterThan(0.9);
    expect(Math.abs(shareOf(shadow.otherwise) - shareOf(enforced.asPlaced))).toBeLessThan(0.02);
    expect(shareOf(enforced.otherwise)).toBeCloseTo(shareOf(shadow.asPlaced), 6);
    expect(enforced.good / enforced.offered).toBeCloseTo(shareOf(enforced.asPlaced), 1);
    expect(enforced.switches).toBeGreaterThan(0);
  });

  it("[F9] routes single requests, and refuses none that a machine had room for", () => {
    const demand = Array.from({ length: 6 }, () => [2.5, 0.2]);
    const run = replay(scenarioWith(demand, 3), [0, 0, 1], "enforce", { first: 2, last: 5 });
    expect(run.requests).toMatchObject({ falseRefusals: 0 });
    expect(run.requests?.served).toBeGreaterThan(200);
    expect(run.requests?.refused).toBeGreaterThan(0);
  });

  it("[F9] takes no lost machine and no slow answer for a refusal", () => {
    const demand = Array.from({ length: 12 }, () => [2.5, 0.2]);
    const outages = [0, 1, 2].map((machine) => ({ machine, from: 6, until: 7 }));
    const slow = scenarioWith(demand, 3, { requestsPerMinute: 2, outages });
    const run = replay(slow, [0, 0, 1], "enforce", { first: 1, last: 11 });
    expect(run.requests).toMatchObject({ falseRefusals: 0 });
    expect(run.requests?.served).toBeGreaterThan(10);
  });
});
