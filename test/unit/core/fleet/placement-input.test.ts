import { describe, expect, it } from "vitest";

import { readFlags } from "../../../../core/flags.ts";
import { sightingsIn } from "../../../../core/fleet/fleet-view.ts";
import { placementMachines } from "../../../../core/fleet/placement-input.ts";
import { guessedDecodeTps } from "../../../../core/placement/fitness.ts";
import { machineIdSchema, type ModelId } from "../../../../protocol/ids.ts";
import { M3_MAX } from "../../../../protocol/sample-hardware.ts";
import { A, aMachineReport, aReport, B, FleetScene } from "./fleet-scene.ts";

const GUESS = guessedDecodeTps(M3_MAX.memory_bandwidth_gbs, 1) ?? 0;

interface Case {
  readonly measuredInA?: number;
  /** By the machine's own word. */
  readonly claims?: { readonly a?: number; readonly b?: number };
  readonly floorTps?: number;
  /** Another machine, which holds a or b and has nothing else. */
  readonly other?: { readonly holds: ModelId; readonly measured?: number; readonly isCordoned?: boolean };
}

/** Tokens per second of one stream that the planner expects of a machine with one slot, which is only in the pool of a. */
function expected({ measuredInA, claims = {}, floorTps = 15, other }: Case) {
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
  const speed = measuredInA === undefined ? null : { prefillTps: null, decodeTps: [measuredInA] };
  const rows = new Map([[A, [aMachineReport({ speed })]]]);
  if (other !== undefined) {
    const machineId = machineIdSchema.parse("other");
    scene.register(other.holds, { models: [{ id: other.holds, size_bytes: 1 }] }, machineId);
    if (other.isCordoned === true) scene.core.cordons.set(machineId, true, scene.now);
    const measured = other.measured === undefined ? null : { prefillTps: null, decodeTps: [other.measured] };
    const row = aMachineReport({ machineId: "other", speed: measured });
    rows.set(other.holds, [...(rows.get(other.holds) ?? []), row]);
  }
  const reports = new Map([...rows].map(([pool, machines]) => [pool, aReport(pool, machines)]));
  const view = { ...scene.core.ownView(scene.now), reports, sightings: sightingsIn(reports) };
  const flags = readFlags({ decode_floor_tps: String(floorTps) });
  const [machine] = placementMachines(view, catalog, flags, scene.core.placement.loadTimes);
  return { a: machine?.fits[A]?.decodeTps, b: machine?.fits[B]?.decodeTps };
}

describe("the speed that a machine is expected to have", () => {
  it("is guessed from its memory where nobody knows better", () => {
    expect(expected({})).toEqual({ a: GUESS, b: GUESS });
  });

  it("is what its pool has measured, else what it claims", () => {
    expect(expected({ measuredInA: GUESS / 2, claims: { a: 30, b: 40 } })).toEqual({ a: GUESS / 2, b: 40 });
  });

  it("[C10] is guessed lower if it is slower than guessed where it was measured: else it would swap its model for any other", () => {
    expect(expected({ measuredInA: GUESS / 4 })).toEqual({ a: GUESS / 4, b: GUESS / 4 });
  });

  it("is guessed no higher if it is faster there: that may be the model's doing", () => {
    expect(expected({ measuredInA: 4 * GUESS })).toEqual({ a: 4 * GUESS, b: GUESS });
  });

  describe("[F8] when the lowered guess is below the least speed", () => {
    const slow = { measuredInA: GUESS / 4, floorTps: Math.floor(GUESS / 2) };

    it("is what was guessed at first for a model that nobody else could be given: somebody has to try", () => {
      expect(expected(slow)).toEqual({ a: undefined, b: GUESS });
      expect(expected({ ...slow, other: { holds: A } })).toEqual({ a: undefined, b: GUESS });
      expect(expected({ ...slow, other: { holds: B, isCordoned: true } })).toEqual({
        a: undefined,
        b: GUESS,
      });
    });

    it("stays so for a model that somebody else has, be it slowly: else all would try in turns", () => {
      for (const measured of [GUESS, 1]) {
        expect(expected({ ...slow, other: { holds: B, measured } })).toEqual({ a: undefined, b: undefined });
      }
    });

    it("is no higher than what its owner claims or than the least speed would allow", () => {
      expect(expected({ ...slow, claims: { b: 1 } })).toEqual({ a: undefined, b: undefined });
      expect(expected({ ...slow, floorTps: Math.ceil(2 * GUESS) })).toEqual({ a: undefined, b: undefined });
    });
  });
});
