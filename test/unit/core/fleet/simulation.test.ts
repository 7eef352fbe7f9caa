import { describe, expect, it } from "vitest";

import { simulatedEstimates, simulationSchema } from "../../../../core/fleet/simulation.ts";
import { planningRate, UNSEEN } from "../../../../core/placement/demand.ts";
import { A, PlacementScene, twoOnA } from "./placement-scene.ts";

describe("a simulation", () => {
  it("[C15] plans with other demand, and changes nothing", () => {
    const scene = twoOnA();
    const asked = simulationSchema.parse({
      demand: { b: { requests_per_second: 1 } },
      machines: { "mac-2": { offline: true } },
      min_dwell_seconds: 0,
    });
    const { flags } = scene.core.flagBook;
    const { catalog } = scene.core.directory;
    if (catalog === null) throw new Error("no catalog");
    const before = scene.plans.placement();
    const { plan } = scene.core.placement.preview(scene.core.view(scene.now), catalog, flags, asked);
    expect(plan.moves).toMatchObject([{ machineId: "mac-1", to: "b" }]);
    expect(plan.machines).toMatchObject([{ machineId: "mac-2", reason: "offline" }]);
    expect(scene.plans.placement()).toEqual(before);
    expect(scene.orders).toEqual([]);
  });

  it("takes machines that it leaves out for away, and not for a network that has just failed", () => {
    const scene = new PlacementScene({ min_dwell_seconds: "0" });
    for (const machineId of ["mac-1", "mac-2", "mac-3", "mac-4", "mac-5"]) scene.join(machineId, A);
    scene.tick();
    const { flags } = scene.core.flagBook;
    const { catalog } = scene.core.directory;
    if (catalog === null) throw new Error("no catalog");
    const asked = simulationSchema.parse({
      demand: { b: { requests_per_second: 1 } },
      machines: Object.fromEntries(["mac-1", "mac-2", "mac-3"].map((id) => [id, { offline: true }])),
    });
    const { plan } = scene.core.placement.preview(scene.core.view(scene.now), catalog, flags, asked);
    expect(plan).toMatchObject({ halted: null, moves: [{ to: "b", reason: "first_machine" }, {}] });
  });

  it("plans for the demand that was given, whatever was usual before", () => {
    const known = { ...UNSEEN, fast: 5, slow: 5, usual: 9, persistence: { ofFast: 0.2, ofSlow: 0.2 } };
    const asked = simulationSchema.parse({ demand: { a: { requests_per_second: 1 } } });
    const { a } = simulatedEstimates({ a: known }, asked);
    expect(planningRate(a ?? UNSEEN)).toBeCloseTo(1);
  });

  it("refuses what it does not know", () => {
    expect(simulationSchema.safeParse({ demnad: {} }).success).toBe(false);
    expect(simulationSchema.safeParse({ demand: { b: { requests_per_second: -1 } } }).success).toBe(false);
  });
});
