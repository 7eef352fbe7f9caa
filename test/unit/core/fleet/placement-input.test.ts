import { describe, expect, it } from "vitest";

import { readFlags } from "../../../../core/flags.ts";
import { sightingsIn } from "../../../../core/fleet/fleet-view.ts";
import { placementMachines } from "../../../../core/fleet/placement-input.ts";
import { guessedDecodeTps } from "../../../../core/placement/fitness.ts";
import { M3_MAX } from "../../../../protocol/sample-hardware.ts";
import { A, aMachineReport, aReport, B, FleetScene } from "./fleet-scene.ts";

const GUESS = guessedDecodeTps(M3_MAX.memory_bandwidth_gbs, 1) ?? 0;

/** Tokens per second of one stream that the planner expects of a machine with one slot, which is only in the pool of a. */
function expected(measuredInA: number | null, claims: { a?: number; b?: number } = {}) {
  const scene = new FleetScene();
  scene.join(A);
  scene.register(A, {
    models: [
      { id: A, size_bytes: 1, ...(claims.a === undefined ? {} : { decode_tps: claims.a }) },
      { id: B, size_bytes: 1, ...(claims.b === undefined ? {} : { decode_tps: claims.b }) },
    ],
    max_concurrency: 1,
  });
  const { catalog } = scene.core.directory;
  if (catalog === null) throw new Error("there is no catalog");
  const speed = measuredInA === null ? null : { prefillTps: null, decodeTps: [measuredInA] };
  const reports = new Map([[A, aReport(A, [aMachineReport({ speed })])]]);
  const view = { ...scene.core.ownView(scene.now), reports, sightings: sightingsIn(reports) };
  const [machine] = placementMachines(view, catalog, readFlags({}), scene.core.placement.loadTimes);
  return { a: machine?.fits[A]?.decodeTps, b: machine?.fits[B]?.decodeTps };
}

describe("the speed that a machine is expected to have", () => {
  it("is guessed from its memory where nobody knows better", () => {
    expect(expected(null)).toEqual({ a: GUESS, b: GUESS });
  });

  it("is what its pool has measured, else what it claims", () => {
    expect(expected(GUESS / 2, { a: 30, b: 40 })).toEqual({ a: GUESS / 2, b: 40 });
  });

  it("[C10] is guessed lower if it is slower than guessed where it was measured: else it would swap its model for any other", () => {
    expect(expected(GUESS / 4)).toEqual({ a: GUESS / 4, b: GUESS / 4 });
  });

  it("is guessed no higher if it is faster there: that may be the model's doing", () => {
    expect(expected(4 * GUESS)).toEqual({ a: 4 * GUESS, b: GUESS });
  });
});
