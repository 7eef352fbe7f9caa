import { describe, expect, it } from "vitest";

import { aMachineReport, A, B, FleetScene, MAC } from "./fleet-scene.ts";

/** A machine that was pinned to b and said nothing until its time ran out. */
function missed() {
  const scene = new FleetScene();
  scene.join(A, B);
  scene.core.orders.pin(MAC, B, scene.now);
  scene.confirmAll();
  const error = { code: "deadline", message: "still expected after 60 s" };
  scene.observe(B, "failed", 1, error);
  const record = { mode: "failed", epoch: 1, since: scene.now, progress: 0, error } as const;
  return { scene, record };
}

describe("[H13] a machine that has let its order pass", () => {
  it("gets it again when it is back, and until then keeps nobody awake", () => {
    const { scene, record } = missed();
    scene.now = Number(scene.core.nextWakeAt());
    scene.core.retry(scene.now);
    expect(scene.callNames()).toEqual(["read a", "read b"]);
    expect(scene.core.nextWakeAt()).toBeNull();
    scene.tick(30_000, { b: [aMachineReport({ isConnected: false, record })] });
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 1, outcome: "failed" });

    scene.restart();
    scene.dial(B);
    scene.register(B);
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: B, isPinned: true, outcome: null });
  });

  it("gets it again after its cooldown if it is there all the time", () => {
    const { scene, record } = missed();
    const reports = { b: [aMachineReport({ record })] };
    scene.tick(60_000, reports);
    expect(scene.core.intents.epochOf(MAC)).toBe(1);
    scene.tick(61_000, reports);
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: B, isPinned: true });
  });

  it("cools down although it is back", () => {
    const { scene } = missed();
    scene.dial(B);
    scene.register(B);
    expect(scene.core.intents.epochOf(MAC)).toBe(1);
  });
});
