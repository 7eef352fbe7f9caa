import { describe, expect, it } from "vitest";

import { adoptions } from "../../../../core/placement/adopt.ts";
import type { Move, PlacementInput, PlacementMachine, Plan } from "../../../../core/placement/types.ts";
import { A, aMachine, B } from "./placement-machine.ts";

const FIT = { slots: 4, decodeTps: 20, prefillTps: 1000, loadSeconds: 30, onDisk: true };

function unplaced(machineId: string, change: Partial<PlacementMachine> = {}): PlacementMachine {
  return aMachine(machineId, { state: "unmanaged", fits: { [A]: FIT, [B]: FIT }, ...change });
}

function toB(machineId: string): Move {
  return { machineId, from: A, to: B, reason: "demand_gain", won: 1, lost: 0, gate: 0 };
}

function adoptedIn(machines: PlacementMachine[], moves: Move[] = [], budget = 10): string[] {
  const plan: Plan = {
    state: { estimates: {}, online: [], frozenUntil: 0 },
    moves,
    halted: null,
    budget,
    machines: [],
    models: [],
    supply: [],
  };
  const input: PlacementInput = { now: 0, models: [], machines, demand: [], elapsedSeconds: 30 };
  return adoptions(plan, input).map(({ machineId }) => machineId);
}

describe("machines that nobody has placed", () => {
  it("are made to hold what they hold, half of a pool at a time, those first that could swap most", () => {
    const machines = ["m1", "m2", "m3"].map((id) => unplaced(id, { fits: { [A]: FIT } }));
    expect(adoptedIn([...machines, unplaced("m4")])).toEqual(["m4", "m1"]);
    expect(adoptedIn([...machines, unplaced("m4")].toReversed())).toEqual(["m4", "m1"]);
  });

  it("do not leave a pool together with those that the plan has moved away", () => {
    const machines = ["m1", "m2", "m3", "m4"].map((id) => unplaced(id));
    expect(adoptedIn(machines, [toB("m1"), toB("m2")])).toEqual(["m3"]);
  });

  it("[C12] [F13] share the budget of orders with the moves", () => {
    const machines = ["m1", "m2", "m3", "m4", "m5", "m6"].map((id) => unplaced(id));
    expect(adoptedIn(machines, [toB("m1")], 2)).toEqual(["m2"]);
    expect(adoptedIn(machines, [], 0)).toEqual([]);
  });

  it("are left as they are if their owner withholds them, or they hold nothing that they can serve well", () => {
    expect(adoptedIn([unplaced("m1", { isManageable: false })])).toEqual([]);
    expect(adoptedIn([unplaced("m1", { fits: { [B]: FIT } })])).toEqual([]);
    expect(adoptedIn([unplaced("m1", { state: "empty", model: null })])).toEqual([]);
    expect(adoptedIn([unplaced("m1", { state: "serving" })])).toEqual([]);
  });
});
