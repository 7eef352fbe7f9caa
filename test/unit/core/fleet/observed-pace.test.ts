import { describe, expect, it } from "vitest";

import { atObservedPace } from "../../../../core/fleet/observed-pace.ts";
import { DEFAULT_PLACEMENT_CONFIG, EMPTY_PLACEMENT_STATE } from "../../../../core/placement/config.ts";
import { plan } from "../../../../core/placement/plan.ts";
import type { ModelEstimate, PlacementInput, PlacementMachine } from "../../../../core/placement/types.ts";
import { modelIdSchema } from "../../../../protocol/ids.ts";
import { A, aMachine, B } from "../placement/placement-machine.ts";
import { aReport } from "./fleet-scene.ts";

/** By its hardware: five tokens in 60 ms, four at a time. */
const FIT = { slots: 4, decodeTps: 100, prefillTps: 1000, loadSeconds: 30, onDisk: true };
const NOW = 10_000_000;
/** As on the live fleet, where slow machines are left out of `fits`. */
const config = { ...DEFAULT_PLACEMENT_CONFIG, decodeFloorTps: 0 };

const machines = ["a0", "b0", "b1", "b2"].map((id) =>
  aMachine(id, { model: id.startsWith("a") ? A : B, fits: { [A]: FIT, [B]: FIT } }),
);

/** 24 requests a second for A, 1 for B, and few of A's are served in time. */
function inputOf(fleet: readonly PlacementMachine[]): PlacementInput {
  const short = { promptTokensMean: 10, outputTokensMean: 5 };
  const model = (modelId: typeof A) => ({ modelId, floor: 0, cap: null, priority: 1 });
  return {
    now: NOW,
    elapsedSeconds: 30,
    machines: [...fleet],
    models: [model(A), model(B)],
    demand: [
      { modelId: A, offered: 720, good: 200, ...short },
      { modelId: B, offered: 30, good: 30, ...short },
    ],
  };
}

const { state } = plan(EMPTY_PLACEMENT_STATE, inputOf(machines), config);

/** The same machines, where requests for A hold their slots so long. */
function heldFor(holdMs: number | null, fleet = machines): PlacementMachine[] {
  return atObservedPace(fleet, new Map([[A, { ...aReport(A, []), holdMs }]]), state.estimates);
}

describe("the pace of a pool", () => {
  it("makes all machines slower for its model if requests hold their slots for longer than they should", () => {
    for (const { fits } of heldFor(600)) {
      expect(fits[A]?.decodeTps).toBeCloseTo(10);
      expect(fits[A]?.prefillTps).toBeCloseTo(100);
      expect(fits[B]).toEqual(FIT);
    }
  });

  it.each([
    ["is shorter", 30],
    ["is hardly longer", 70],
    ["is not known", null],
  ])("changes nothing if that time %s", (_, holdMs) => {
    expect(heldFor(holdMs)).toEqual(machines);
  });

  it("changes nothing while nobody serves the model", () => {
    const others = machines.filter(({ model }) => model === B);
    expect(heldFor(600, others)).toEqual(others);
  });

  it("is nothing to machines that cannot serve the model, whatever it is called", () => {
    const model = modelIdSchema.parse("constructor");
    const fleet = [
      aMachine("c", { model, fits: { [model]: FIT } }),
      aMachine("b", { model: B, fits: { [B]: FIT } }),
    ];
    const estimates = { [model]: state.estimates[A] as ModelEstimate };
    const report = { ...aReport(model, []), holdMs: 600 };
    const [slow, other] = atObservedPace(fleet, new Map([[model, report]]), estimates);
    expect(slow?.fits[model]?.decodeTps).toBeCloseTo(10);
    expect(Object.keys(other?.fits ?? {})).toEqual([B]);
  });

  it("[D5] [F8] brings machines to a pool that refuses, though by its speeds it has room to spare", () => {
    const movesOf = (fleet: readonly PlacementMachine[]) => plan(state, inputOf(fleet), config).moves;
    expect(movesOf(machines)).toEqual([]);
    expect(movesOf(heldFor(500)).map(({ from, to }) => [from, to])).toEqual([
      [B, A],
      [B, A],
    ]);
  });
});
