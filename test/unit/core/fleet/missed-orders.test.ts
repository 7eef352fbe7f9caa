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

/** A machine that was pinned to b, has answered that it does not have it, and cools down for it. */
function without(code = "model_not_on_disk") {
  const scene = new FleetScene();
  scene.join(A, B);
  scene.core.orders.pin(MAC, B, scene.now);
  scene.confirmAll();
  const has = (...ids: readonly string[]) => ({
    models: ids.map((id) => ({ id, size_bytes: 1 })),
    assignment: { model_id: B, epoch: scene.core.intents.epochOf(MAC) },
  });
  const fail = (): void => {
    const message = "no file for b: it is being downloaded";
    scene.observe(B, "failed", scene.core.intents.epochOf(MAC), { code, message });
  };
  fail();
  return { scene, has, fail };
}

describe("[C19, H13] a machine that has not had its model", () => {
  it("gets it again as soon as its register shows that it has it, and does not cool down any more", () => {
    const { scene, has } = without();
    scene.register(B, has(A));
    scene.now += 10_000;
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 1, outcome: "failed" });
    scene.register(B, has(A, B));
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: B, isPinned: true, outcome: null });
    scene.confirmAll();
    scene.observe(B, "assigned", 2);
    expect(scene.core.view(scene.now).cooldowns).toEqual([]);
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, outcome: "succeeded" });
  });

  it("cools down like any other if it has shown the model all the time, so that no wrong word moves in a circle", () => {
    const { scene, has, fail } = without();
    for (let round = 0; round < 3; round++) scene.register(B, has(A, B));
    expect(scene.core.intents.epochOf(MAC)).toBe(1);
    scene.register(B, has(A));
    scene.register(B, has(A, B));
    scene.confirmAll();
    fail();
    scene.register(B, has(A, B));
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, outcome: "failed" });
  });

  it("is tried again after the same cooldown each time, however long its download takes", () => {
    const { scene, has, fail } = without();
    scene.register(B, has(A));
    for (const at of [2, 3, 4]) {
      scene.now += 119_999;
      scene.core.retry(scene.now);
      expect(scene.core.intents.epochOf(MAC)).toBe(at - 1);
      scene.now += 1;
      scene.core.retry(scene.now);
      expect(scene.core.intents.epochOf(MAC)).toBe(at);
      scene.confirmAll();
      fail();
    }
  });

  it("that failed for another reason cools down although it has come to have the model anew", () => {
    const { scene, has } = without("load_failed");
    scene.register(B, has(A));
    scene.register(B, has(A, B));
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 1, outcome: "failed" });
  });
});
