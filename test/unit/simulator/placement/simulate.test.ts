import { describe, expect, it } from "vitest";

import { Machines } from "../../../../simulator/placement/machines.ts";
import { poisson, randomFrom } from "../../../../simulator/placement/random.ts";
import { reportHtml } from "../../../../simulator/placement/report-html.ts";
import { reportText } from "../../../../simulator/placement/report-text.ts";
import { POLICY_NAMES, simulate } from "../../../../simulator/placement/simulate.ts";
import { scenarioWith } from "./scenarios.ts";

const random = randomFrom(4);
const DEMAND = Array.from({ length: 90 }, (_, minute) => {
  const wave = Math.sin(minute / 15);
  return [3 + 2 * wave, 3 - 2 * wave].map((mean) => poisson(mean * 40, random) / 40);
});

describe("a simulation", () => {
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

  it("reports as text and as a page that needs nothing else", async () => {
    const result = await simulate(rough, ["ours", "optimum"]);
    expect(reportText(result)).toMatch(/^ours /m);
    const page = reportHtml(result, { trace: "<b>.csv", fleet: "f.json" });
    expect(page).toContain("&lt;b&gt;.csv");
    expect(page).not.toMatch(/<script|src=|href=|https?:/);
  });
});

describe("the machines", () => {
  it("serve nothing while they switch, and then the new model", () => {
    const machines = new Machines(scenarioWith([[1, 1]], 2, { switchMinutes: 2 }), [0, 0]);
    machines.order([{ machine: 1, model: 1 }], 5);
    const seen = [5, 6, 7].map((minute) => {
      machines.advance(minute);
      return machines.ready();
    });
    expect(seen).toEqual([
      [1, 0],
      [1, 0],
      [1, 1],
    ]);
  });

  it("come back with the model they had, after loading it", () => {
    const outages = [{ machine: 0, from: 1, until: 3 }];
    const machines = new Machines(scenarioWith([[1, 1]], 1, { switchMinutes: 1, outages }), [1]);
    const seen = [0, 1, 2, 3, 4].map((minute) => {
      machines.advance(minute);
      return machines.ready()[1];
    });
    expect(seen).toEqual([1, 0, 0, 0, 1]);
  });

  it("are empty after a failed load, and refuse a model that does not fit", () => {
    const scenario = scenarioWith([[1, 1]], 1, { loadFailures: 1 });
    const machines = new Machines(scenario, [0]);
    machines.order([{ machine: 0, model: 1 }], 1);
    machines.advance(2);
    expect(machines.views()[0]).toMatchObject({ state: "empty", model: null });
    const [only] = scenario.machines;
    if (!only) throw new Error("no machine");
    const small = new Machines({ ...scenario, machines: [{ ...only, speeds: [1, 0] }] }, [0]);
    small.order([{ machine: 0, model: 1 }], 1);
    expect(small.ready()).toEqual([1, 0]);
  });
});
