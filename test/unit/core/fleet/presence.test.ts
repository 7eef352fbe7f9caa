import { describe, expect, it } from "vitest";

import { viewMachine } from "../../../../core/fleet/fleet-view.ts";
import { aMachineReport, A, aReport, B, FleetScene, MAC } from "./fleet-scene.ts";

const HERE = { a: [aMachineReport()] };
const GONE = { a: [aMachineReport({ isConnected: false, blockedBy: "offline" })] };

/** One regular look with all that follows from it. */
function look(scene: FleetScene, reports: Parameters<FleetScene["tick"]>[1], silent = ""): void {
  scene.now += 30_000;
  scene.core.tick(scene.now);
  for (const made of scene.calls()) {
    const { pool, call } = made;
    if (call.kind !== "read" || pool === silent) continue;
    const report = aReport(pool, reports?.[pool] ?? []);
    scene.core.replied(pool, call, { kind: "report", report, totals: null }, scene.now);
  }
  scene.core.place(scene.now);
}

function ageOf(scene: FleetScene): number | null {
  const view = scene.core.view(scene.now);
  const machine = scene.core.directory.get(MAC);
  if (machine === null) throw new Error("the machine has not registered");
  const { state, since } = viewMachine(view, machine);
  return state === "offline" ? scene.now - since : null;
}

describe("how long a machine has been offline", () => {
  it("counts from the look that found it gone, also for a later life of the fleet", () => {
    const scene = new FleetScene();
    scene.join(A);
    look(scene, HERE);
    expect(ageOf(scene)).toBeNull();
    look(scene, GONE);
    expect(ageOf(scene)).toBe(0);
    look(scene, GONE);
    scene.restart();
    look(scene, GONE);
    expect(ageOf(scene)).toBe(60_000);
  });

  it("begins anew when it has been back, whether it registered or not", () => {
    const scene = new FleetScene();
    scene.join(A);
    look(scene, GONE);
    look(scene, HERE);
    look(scene, GONE);
    expect(ageOf(scene)).toBe(0);
    look(scene, GONE);
    scene.register(A);
    look(scene, GONE);
    expect(ageOf(scene)).toBe(0);
  });

  it("is nothing as long as no look has found it gone: nobody knows", () => {
    const scene = new FleetScene();
    scene.join(A);
    scene.tick(30_000, GONE);
    expect(scene.core.directory.get(MAC)).toMatchObject({ goneAt: null });
    expect(ageOf(scene)).toBe(0);
  });

  it("does not begin because a pool does not answer", () => {
    const scene = new FleetScene();
    scene.join(A, B);
    look(scene, HERE);
    look(scene, GONE, "b");
    expect(scene.core.directory.get(MAC)).toMatchObject({ goneAt: null });
    look(scene, GONE);
    expect(scene.core.directory.get(MAC)).toMatchObject({ goneAt: scene.now });
  });
});
