import { describe, expect, it } from "vitest";

import { demandSince } from "../../../../core/fleet/counted-demand.ts";
import { sightingsIn } from "../../../../core/fleet/fleet-view.ts";
import type { PlacementMemory } from "../../../../core/fleet/plan-record.ts";
import { EMPTY_PLACEMENT_STATE } from "../../../../core/placement/config.ts";
import type { DemandTotals } from "../../../../core/pool/demand.ts";
import { A, aReport, B, FleetScene } from "./fleet-scene.ts";

const TOTALS: DemandTotals = {
  arrivals: 50,
  good: 40,
  answered: 20,
  promptTokens: 2000,
  completionTokens: 400,
};

/** What a tick counts of the pool of a, whose totals are those above; b does not answer. */
function counted(memory: Partial<PlacementMemory>, inDemand: readonly string[] = []) {
  const scene = new FleetScene();
  const { catalog } = scene.core.directory;
  if (catalog === null) throw new Error("there is no catalog");
  const reports = new Map([[A, aReport(A, [], TOTALS)]]);
  const view = { ...scene.core.ownView(scene.now), reports, sightings: sightingsIn(reports) };
  const before = { learnedAt: null, state: EMPTY_PLACEMENT_STATE, counted: {}, last: null, ...memory };
  return demandSince(before, view, catalog, new Set(inDemand));
}

describe("the demand of a tick", () => {
  it("[F8] is what has come since the last one, with how long it was on average", () => {
    const before = { arrivals: 20, good: 20, answered: 10, promptTokens: 1500, completionTokens: 100 };
    expect(counted({ learnedAt: 1, counted: { [A]: before } })).toEqual([
      { modelId: A, offered: 30, good: 20, promptTokensMean: 50, outputTokensMean: 30 },
    ]);
    expect(counted({ learnedAt: 1, counted: { [A]: TOTALS, [B]: TOTALS } })).toEqual([
      { modelId: A, offered: 0, good: 0, promptTokensMean: null, outputTokensMean: null },
    ]);
  });

  it("begins where the totals are when a fleet that knows nothing looks first, unless the pool has just said that they are news", () => {
    expect(counted({})).toMatchObject([{ offered: 0, good: 0 }]);
    expect(counted({}, [B])).toMatchObject([{ offered: 0, good: 0 }]);
    expect(counted({}, [A])).toMatchObject([{ offered: 50, good: 40 }]);
  });

  it("[F8] is all that there was in a pool that a fleet which has learned before has not seen yet", () => {
    expect(counted({ learnedAt: 1 })).toMatchObject([{ offered: 50, good: 40 }]);
  });

  it("is never below nothing, though a pool has lost its last counts", () => {
    const before = { ...TOTALS, arrivals: 60, answered: 30 };
    expect(counted({ learnedAt: 1, counted: { [A]: before } })).toMatchObject([
      { offered: 0, promptTokensMean: null },
    ]);
  });
});
