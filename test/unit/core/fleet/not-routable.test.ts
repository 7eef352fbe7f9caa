import { describe, expect, it } from "vitest";

import type { GateReason } from "../../../../core/pool/gate.ts";
import { A, B, PlacementScene } from "./placement-scene.ts";

/** So many machines that hold A; a tick has passed, and there is demand for B. */
function machines(count: number, fields: object = {}): PlacementScene {
  const scene = new PlacementScene({ min_dwell_seconds: "0" });
  for (let at = 1; at <= count; at++) scene.join(`mac-${at}`, A, fields);
  scene.tick();
  scene.ask(B, 20);
  return scene;
}

/** What the planner says of a machine that it leaves alone. */
const reasonOf = (scene: PlacementScene, machineId: string) =>
  scene.core.placement.last?.machines.find((machine) => machine.machineId === machineId)?.reason;

describe("a machine that no request may go to", () => {
  it.each<GateReason>([
    "below_trust_level",
    "too_hot",
    "owner_busy",
    "not_accepting",
    "breaker_open",
    "model_not_loaded",
  ])(
    "[F9] stays because it is not routable if its pool says %s, and not as if it had no connection",
    (gate) => {
      const scene = machines(1);
      scene.blocked.set("mac-1", gate);
      scene.tick();
      expect(reasonOf(scene, "mac-1")).toBe("not_routable");
      expect(scene.orders).toEqual([]);
    },
  );

  it.each(["offline", "silent"] as const)("is offline if all that its pool says is %s", (gate) => {
    const scene = machines(1);
    scene.blocked.set("mac-1", gate);
    scene.tick();
    expect(reasonOf(scene, "mac-1")).toBe("offline");
  });

  it("stays because of the operator's or owner's word, where there is one", () => {
    const scene = machines(1, { private_only: true });
    scene.blocked.set("mac-1", "owner_private");
    scene.tick();
    expect(reasonOf(scene, "mac-1")).toBe("unmanageable");
  });

  it("is so as well if it was assigned", () => {
    const scene = machines(2);
    scene.tick();
    for (const id of Object.keys(scene.held())) scene.report(id, "assigned");
    scene.blocked.set("mac-1", "too_hot");
    scene.tick();
    expect(reasonOf(scene, "mac-1")).toBe("not_routable");
  });

  it("does not count among those that have vanished, so others still move when many are too hot at once", () => {
    const scene = machines(6);
    for (const id of ["mac-1", "mac-2", "mac-3"]) scene.blocked.set(id, "too_hot");
    scene.tick();
    expect(scene.core.placement.last?.halted).toBeNull();
    expect(scene.orders).not.toEqual([]);
    expect(scene.core.placement.last?.stays["not_routable"]).toBe(3);
  });

  it("counts among them if it has been silent for a minute, as one whose power was cut", () => {
    const scene = machines(6);
    for (const id of ["mac-1", "mac-2", "mac-3"]) scene.blocked.set(id, "silent");
    scene.tick();
    expect(scene.core.placement.last?.halted).toBe("frozen");
    expect(scene.orders).toEqual([]);
  });
});
