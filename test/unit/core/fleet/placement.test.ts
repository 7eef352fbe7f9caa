import { describe, expect, it } from "vitest";

import { Survey } from "../../../../core/fleet/survey.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { A, B, PlacementScene, twoOnA } from "./placement-scene.ts";

/** One of the two is moved to B, and takes so long to load it. */
function loadedIn(ms: number): { scene: PlacementScene; loader: string } {
  const scene = twoOnA();
  scene.ask(B, 20);
  scene.tick();
  const [loader = ""] = Object.entries(scene.held()).find(([, model]) => model === "b") ?? [];
  scene.report(loader, "loading");
  scene.now += ms;
  scene.report(loader, "assigned", ms);
  return { scene, loader };
}

/** A machine that has both models on its disk and is connected to the pool of `a` alone. */
function oneOnlyInA(flags: ConstructorParameters<typeof PlacementScene>[0] = {}): PlacementScene {
  const scene = new PlacementScene({ min_dwell_seconds: "0", ...flags });
  scene.join("mac-1", A, {}, [A]);
  scene.tick();
  return scene;
}

describe("placement on the live fleet", () => {
  it("[F8] gives a model without a machine one at the tick after its first refused request", () => {
    const scene = twoOnA();
    scene.ask(A, 3, 3);
    scene.ask(B, 2);
    scene.tick(5);
    const [move] = scene.core.placement.last?.moves ?? [];
    expect(move).toMatchObject({ from: "a", to: "b", reason: "first_machine" });
    expect(Object.values(scene.held())).toContain("b");
    expect(scene.orders.some((order) => order.endsWith(" b"))).toBe(true);
  });

  it("[F8] hears of a pool that no machine is in, and reads it", () => {
    const scene = new PlacementScene();
    scene.join("mac-1", A);
    scene.tick();
    expect(scene.core.tickDueAt(scene.now)).toBe(scene.now + 30_000);
    scene.ask(B, 1);
    // At once, but not sooner than an early tick may come.
    expect(scene.core.tickDueAt(scene.now)).toBe(scene.now + 5_000);
  });

  it("[C14] makes machines that serve well where they are hold that, half of a pool at a time", () => {
    const scene = twoOnA();
    scene.ask(A, 3, 3);
    scene.tick();
    expect(scene.held()).toEqual({ "mac-1": "a" });
    scene.report("mac-1", "assigned");
    scene.ask(A, 3, 3);
    scene.tick();
    expect(scene.held()).toEqual({ "mac-1": "a", "mac-2": "a" });
  });

  it("[C12] [F13] makes no machine hold what it holds beyond the budgets", () => {
    for (const flag of ["max_pending_loads", "max_loads_per_tick"]) {
      const scene = twoOnA({ [flag]: "0" });
      scene.ask(A, 3, 3);
      scene.tick();
      expect(scene.orders).toEqual([]);
      expect(scene.core.placement.last?.budget).toBe(0);
    }
    const scene = twoOnA({ max_pending_loads: "1" });
    for (let at = 0; at < 2; at++) {
      scene.ask(A, 3, 3);
      scene.tick();
    }
    expect(new Set(scene.orders)).toEqual(new Set(["mac-1 a"]));
  });

  it("[C15] shows in shadow what it would do, and orders nothing", () => {
    const scene = twoOnA({ placement: "shadow" });
    scene.ask(B, 20);
    scene.tick();
    expect(scene.core.placement.last).toMatchObject({
      mode: "shadow",
      moves: [{ to: "b", epoch: null }, {}],
    });
    expect(scene.core.placement.history(9)[0]?.moves).toHaveLength(2);
    expect(scene.orders).toEqual([]);
    expect(scene.held()).toEqual({});
  });

  it("[C15] records a plan in shadow once, however often it is made again", () => {
    const scene = twoOnA({ placement: "shadow" });
    for (let at = 0; at < 5; at++) scene.tick();
    const before = scene.plans.plans(99).length;
    for (let at = 0; at < 5; at++) {
      scene.ask(B, 20);
      scene.tick();
    }
    expect(scene.plans.plans(99).length).toBe(before + 1);
  });

  it("[H17] acts as shadow while the assignment gate is off", () => {
    const scene = twoOnA({ assignment_gate: "off" });
    scene.ask(B, 20);
    scene.tick();
    expect(scene.core.placement.last?.mode).toBe("shadow");
    expect(scene.orders).toEqual([]);
  });

  it.each(["on", "off"])(
    "[C7] measures demand with placement off and the gate %s, and plans nothing that anybody sees",
    (assignment_gate) => {
      const scene = twoOnA({ placement: "off", assignment_gate });
      scene.ask(B, 20);
      scene.tick();
      expect(scene.core.placement.last).toMatchObject({ mode: "off", moves: [] });
      expect(scene.core.placement.last?.models.find(({ modelId }) => modelId === B)?.demand).toBeGreaterThan(
        0,
      );
      expect(scene.core.placement.history(9)).toEqual([]);
      expect(scene.orders).toEqual([]);
    },
  );

  it("[F13] moves nothing with a budget of 0, and still says what it would be good for", () => {
    const scene = twoOnA({ max_loads_per_tick: "0" });
    scene.ask(B, 20);
    scene.tick();
    expect(scene.orders).toEqual([]);
    const { last } = scene.core.placement;
    expect(last?.moves).toEqual([]);
    expect(last?.machines).toMatchObject([{ reason: "budget", bestTarget: "b" }, { reason: "budget" }]);
  });

  it("[D11] plans nothing from stale reports", () => {
    const scene = twoOnA();
    scene.ask(B, 20);
    scene.silent.add("a");
    scene.tick();
    expect(scene.orders).toEqual([]);
    expect(scene.core.placement.history(1)).toMatchObject([{ halted: "stale_reports" }]);
    // What was asked meanwhile is not lost.
    scene.silent.clear();
    scene.tick();
    expect(scene.orders.some((order) => order.endsWith(" b"))).toBe(true);
  });

  it("[F1] counts a failed machine as nothing and finds the model another one", () => {
    const scene = twoOnA();
    scene.ask(B, 2);
    scene.tick();
    const [first] = Object.entries(scene.held()).find(([, model]) => model === "b") ?? [];
    for (const [id, model] of Object.entries(scene.held())) if (model === "a") scene.report(id, "assigned");
    scene.report(first ?? "", "failed");
    scene.ask(B, 2);
    scene.tick();
    const other = first === "mac-1" ? "mac-2" : "mac-1";
    expect(scene.held()[other]).toBe("b");
  });

  it("[F1] counts a load under way only until its deadline", () => {
    const scene = twoOnA();
    scene.ask(B, 2);
    scene.tick();
    const [loader] = Object.entries(scene.held()).find(([, model]) => model === "b") ?? [];
    scene.report(loader ?? "", "loading");
    const loadingIn = () => scene.core.placement.last?.models.find(({ modelId }) => modelId === B)?.loading;
    scene.tick();
    expect(loadingIn()).toBe(1);
    scene.tick(200);
    expect(loadingIn()).toBe(0);
  });

  it("[F9] neither counts nor moves a machine that requests cannot reach", () => {
    const scene = new PlacementScene();
    scene.join("mac-1", A, { private_only: true });
    scene.tick();
    scene.ask(B, 20);
    scene.tick();
    expect(scene.core.placement.last?.machines).toMatchObject([
      { machineId: "mac-1", reason: "unmanageable" },
    ]);
    expect(scene.orders).toEqual([]);
  });

  it("[C11] [F8] takes an adopted machine at once, since it has been there for longer than its order", () => {
    const scene = twoOnA({ min_dwell_seconds: "300" });
    for (let at = 0; at < 3; at++) {
      scene.ask(A, 3, 3);
      scene.tick();
      for (const id of Object.keys(scene.held())) scene.report(id, "assigned");
    }
    expect(scene.held()).toEqual({ "mac-1": "a", "mac-2": "a" });
    scene.ask(B, 2);
    scene.tick();
    expect(scene.core.placement.last?.moves).toMatchObject([{ from: "a", to: "b", reason: "first_machine" }]);
  });

  it("[C11] [D5] leaves a young machine, and frees it when demand has gone elsewhere", () => {
    const scene = new PlacementScene({ min_dwell_seconds: "300" });
    for (const id of ["mac-1", "mac-2", "mac-3"]) scene.join(id, B);
    scene.tick();
    for (let at = 0; at < 8; at++) {
      scene.ask(A, 60, 60);
      scene.tick();
      for (const [id, model] of Object.entries(scene.held())) if (model === "a") scene.report(id, "assigned");
    }
    expect(scene.held()).toEqual({ "mac-1": "a", "mac-2": "a", "mac-3": "a" });
    scene.ask(B, 60);
    scene.tick();
    const reasons = new Set(scene.core.placement.last?.machines.map(({ reason }) => reason));
    expect(reasons).toEqual(new Set(["dwell"]));
    for (let at = 0; at < 20; at++) {
      scene.ask(B, 60);
      scene.tick();
    }
    expect(Object.values(scene.held()).filter((model) => model === "b").length).toBeGreaterThan(0);
  });

  it("[C10] moves machines from a pool that has too many to one that has too few, and to no other", () => {
    const scene = new PlacementScene({ min_dwell_seconds: "0" });
    for (const id of ["mac-1", "mac-2", "mac-3", "mac-4"]) scene.join(id, A);
    scene.join("mac-5", B);
    scene.tick();
    const seen: string[] = [];
    for (let at = 0; at < 10; at++) {
      scene.ask(A, 1, 1);
      scene.ask(B, 20);
      scene.tick();
      for (const { from, to, reason } of scene.core.placement.last?.moves ?? []) {
        if (reason !== "adopted") seen.push(`${from} to ${to}`);
      }
      for (const id of Object.keys(scene.held())) scene.report(id, "assigned");
    }
    expect(new Set(seen)).toEqual(new Set(["a to b"]));
    expect(Object.values(scene.held()).filter((model) => model === "a")).not.toEqual([]);
  });

  it("leaves a pinned machine, and moves it once it is unpinned", () => {
    const scene = twoOnA();
    scene.core.orders.pin(machineIdSchema.parse("mac-1"), "a", scene.now);
    scene.core.orders.pin(machineIdSchema.parse("mac-2"), "a", scene.now);
    for (const id of ["mac-1", "mac-2"]) scene.report(id, "assigned");
    scene.ask(B, 2);
    scene.tick();
    expect(scene.core.placement.last?.stays).toEqual({ pinned: 2 });
    scene.core.intents.unpin(machineIdSchema.parse("mac-2"));
    scene.ask(B, 2);
    scene.tick();
    expect(scene.held()).toEqual({ "mac-1": "a", "mac-2": "b" });
  });

  it("[C18] leaves a machine that it has placed itself once an operator pins it there, under the same epoch", () => {
    const scene = twoOnA();
    scene.ask(B, 2);
    scene.tick();
    const [moved = ""] = Object.keys(scene.held()).filter((id) => scene.held()[id] === "b");
    const machineId = machineIdSchema.parse(moved);
    const epoch = scene.core.intents.epochOf(machineId);
    expect(scene.core.intents.get(machineId)).toMatchObject({ isPinned: false });
    expect(scene.core.orders.pin(machineId, "b", scene.now)).toMatchObject({ ok: true, epoch });
    expect(scene.core.intents.get(machineId)).toMatchObject({ epoch, isPinned: true });
  });

  it("learns how long a machine takes to load", () => {
    const { scene, loader } = loadedIn(42_000);
    expect(scene.plans.loadTimes()).toEqual([{ machineId: loader, model: "b", seconds: 42 }]);
  });

  it("learns nothing from a load of what was in memory already", () => {
    expect(loadedIn(400).scene.plans.loadTimes()).toEqual([]);
  });

  it("goes on after a restart where it was", () => {
    const scene = twoOnA();
    scene.ask(A, 30, 30);
    scene.tick();
    const demandOf = () => scene.core.placement.last?.models[0]?.demand;
    const before = demandOf();
    expect(scene.plans.placement()?.last?.models[0]?.demand).toBe(before);
    expect(scene.plans.placement()?.state.estimates[A]?.fast).toBe(1);
  });
});

describe("[F8] demand that is told at a bad moment", () => {
  it("between a tick's reports and its plan is read at the next tick", () => {
    const scene = oneOnlyInA();
    scene.ask(A, 3, 3);
    scene.tick(30, () => scene.ask(B, 2));
    expect(scene.core.placement.last?.moves.map(({ to }) => to)).not.toContain("b");
    expect(scene.plans.poolsInDemand()).toEqual(["b"]);
    scene.tick(5);
    expect(scene.read).toContain("b");
    expect(scene.core.placement.last?.demand).toContainEqual(
      expect.objectContaining({ modelId: "b", offered: 2 }),
    );
    expect(scene.plans.poolsInDemand()).toEqual([]);
  });

  it("before a crash of the fleet makes its next look a regular one", () => {
    const scene = oneOnlyInA();
    for (const seconds of [300, 30, 30]) scene.tick(seconds);
    expect(scene.core.tickDueAt(scene.now)).toBe(scene.now + 240_000);
    scene.now += 60_000;
    scene.ask(B, 1);
    const { schedule } = new Survey(scene.plans.schedule(), scene.plans.poolsInDemand().length > 0);
    expect(schedule.dueAt(scene.now, 30_000)).toBeLessThan(scene.now);
  });

  it("is not left to a look that does not come, by a pool whose demand has died down", () => {
    const scene = oneOnlyInA({ placement: "shadow" });
    scene.ask(B, 2);
    scene.tick();
    for (let at = 0; at < 1000; at++) {
      scene.ask(A, 1, 1);
      scene.tick();
      if (!scene.read.includes("b")) break;
    }
    expect(scene.read).toEqual(["a"]);
    expect(scene.watches.get("b")).toEqual({ isLooking: false, surprisingArrivals: null });
  });

  it("is not left to whoever else reads the pool", () => {
    const scene = oneOnlyInA({ placement: "shadow" });
    expect(scene.core.readCall(A, scene.now)).toMatchObject({ watch: null });
  });

  it("is not left to a look that may be far away", () => {
    const scene = oneOnlyInA({ placement: "shadow" });
    scene.ask(A, 1, 1);
    scene.tick(300);
    while (scene.core.tickDueAt(scene.now) === scene.now + 30_000) scene.tick();
    expect(scene.watches.get("a")).toMatchObject({ isLooking: false });
  });
});
