import { describe, expect, it } from "vitest";

import { machineIdSchema } from "../../../../protocol/ids.ts";
import { A, aMachineReport, aReport, B, FleetScene, MAC } from "./fleet-scene.ts";
import { PlacementScene, twoOnA } from "./placement-scene.ts";

/** Machines that operators keep requests away from, as the fleet remembers, tells and plans it. */

function cordon(scene: FleetScene | PlacementScene, machineId: string = MAC, isCordoned = true) {
  return scene.core.cordons.set(machineIdSchema.parse(machineId), isCordoned, scene.now);
}

function cordonCalls(scene: FleetScene) {
  return scene.calls().filter(({ call }) => call.kind === "cordon");
}

describe("a cordon", () => {
  it("is told to every pool of the machine, on and off", () => {
    const scene = new FleetScene();
    scene.join(A, B);
    scene.calls();
    expect(cordon(scene)).toBeNull();
    expect(cordonCalls(scene)).toMatchObject([
      { pool: "a", call: { machineId: MAC, isCordoned: true } },
      { pool: "b", call: { machineId: MAC, isCordoned: true } },
    ]);
    cordon(scene, MAC, false);
    expect(cordonCalls(scene)).toMatchObject([
      { pool: "a", call: { isCordoned: false } },
      { pool: "b", call: { isCordoned: false } },
    ]);
  });

  it("is known to a pool once that has confirmed the newest word, or shows it in a report", () => {
    const scene = new FleetScene();
    scene.join(A, B);
    scene.calls();
    cordon(scene);
    const [first, second] = cordonCalls(scene);
    if (first === undefined || second === undefined) throw new Error("not both pools were told");
    scene.confirm(first);
    expect(scene.core.cordons.untold(MAC)).toEqual(["b"]);
    cordon(scene, MAC, false);
    scene.confirm(second);
    expect(scene.core.cordons.untold(MAC)).toEqual(["a", "b"]);
    for (const made of cordonCalls(scene)) scene.confirm(made);
    expect(scene.core.cordons.untold(MAC)).toEqual([]);
    cordon(scene);
    scene.calls();
    scene.tick(30_000, { a: [aMachineReport({ isCordoned: true })], b: [aMachineReport()] });
    expect(scene.core.cordons.untold(MAC)).toEqual(["b"]);
  });

  it("of a machine that nobody knows is an error", () => {
    expect(cordon(new FleetScene(), "mac-9")).toMatchObject({ code: "not_found" });
  });

  it("outlives the fleet, and is in its answer when the machine registers", () => {
    const scene = new FleetScene();
    scene.join(A);
    expect(scene.register()).toMatchObject({ isCordoned: false });
    cordon(scene);
    scene.restart();
    expect(scene.register()).toMatchObject({ isCordoned: true });
  });

  it("began when it was ordered first", () => {
    const scene = new FleetScene();
    scene.join(A);
    cordon(scene);
    const first = scene.core.directory.get(MAC)?.cordonedAt;
    expect(first).toBe(scene.now + 1);
    scene.now += 60_000;
    cordon(scene);
    expect(scene.core.directory.get(MAC)).toMatchObject({ cordonedAt: first });
  });

  it("says from when it is, later each time, though the clock may stand still", () => {
    const scene = new FleetScene();
    scene.join(A);
    const asOf = () => {
      const admission = scene.register(A);
      return admission.admitted ? admission.cordonAsOf : null;
    };
    expect(asOf()).toBe(scene.now);
    const said = [true, false, false, true].map((isCordoned) => {
      scene.calls();
      cordon(scene, MAC, isCordoned);
      const [made] = cordonCalls(scene);
      return made?.call.kind === "cordon" ? made.call.cordonAsOf : null;
    });
    expect(said).toEqual([1, 2, 3, 4].map((later) => scene.now + later));
    scene.restart();
    expect(asOf()).toBe(scene.now + 4);
  });

  it("[H1] of a machine that was deleted is older than what is said of it when it is new again", () => {
    const scene = new FleetScene();
    scene.join(A);
    cordon(scene);
    const cordonedAt = scene.now + 1;
    scene.now += 120_000;
    const askedAt = scene.now;
    scene.calls();
    const call = scene.core.readCall(A, askedAt);
    scene.core.replied(A, call, { kind: "report", report: aReport(A, []), totals: null }, scene.now);
    expect(scene.core.remove(MAC, askedAt, scene.now)).toBeNull();
    const again = scene.register(A);
    expect(again).toMatchObject({ isCordoned: false, cordonAsOf: scene.now });
    expect(scene.now).toBeGreaterThan(cordonedAt);
  });

  it("is told again to a pool whose report shows that it has missed it, and to no other", () => {
    const scene = new FleetScene();
    scene.join(A, B);
    cordon(scene);
    scene.calls();
    const missed = aMachineReport();
    const heard = aMachineReport({ isCordoned: true, blockedBy: "cordoned" });
    scene.tick(30_000, { a: [missed], b: [heard] });
    expect(cordonCalls(scene)).toMatchObject([{ pool: "a", call: { isCordoned: true } }]);
    cordon(scene, MAC, false);
    scene.calls();
    scene.tick(30_000, { a: [missed], b: [heard] });
    expect(cordonCalls(scene)).toMatchObject([{ pool: "b", call: { isCordoned: false } }]);
  });

  it("[H19] is told again also to a pool that knows the machine and has no socket of it", () => {
    const scene = new FleetScene();
    scene.join(A);
    cordon(scene);
    scene.calls();
    const gone = aMachineReport({ isConnected: false, blockedBy: "offline" });
    scene.tick(30_000, { a: [gone] });
    expect(cordonCalls(scene)).toMatchObject([{ pool: "a", call: { isCordoned: true } }]);
    scene.tick(30_000, { a: [{ ...gone, isCordoned: true }] });
    expect(cordonCalls(scene)).toEqual([]);
  });
});

describe("placement and a cordoned machine", () => {
  it("leaves it alone, and gives its model another machine", () => {
    const scene = twoOnA();
    scene.ask(B, 20);
    scene.tick();
    const [loader = ""] = Object.entries(scene.held()).find(([, model]) => model === "b") ?? [];
    const other = loader === "mac-1" ? "mac-2" : "mac-1";
    scene.report(loader, "loading");
    scene.report(loader, "assigned");
    cordon(scene, loader);
    for (let tick = 0; tick < 3; tick++) {
      scene.ask(B, 20);
      scene.tick();
    }
    expect(scene.held()).toMatchObject({ [loader]: "b", [other]: "b" });
    const stays = scene.core.placement.last?.machines;
    expect(stays).toContainEqual(expect.objectContaining({ machineId: loader, reason: "cordoned" }));
  });

  it("is not taken for a fault of the network, though most of the fleet is cordoned at once", () => {
    const scene = new PlacementScene({ min_dwell_seconds: "0" });
    const ids = ["mac-1", "mac-2", "mac-3", "mac-4", "mac-5", "mac-6"];
    for (const id of ids) scene.join(id, A);
    scene.ask(A, 3, 3);
    scene.tick();
    for (const id of ids.slice(0, 4)) cordon(scene, id);
    scene.ask(B, 20);
    scene.tick();
    const moved = scene.core.placement.last?.moves.map(({ machineId }) => machineId) ?? [];
    expect(moved).toContain("mac-5");
    expect(ids.slice(4)).toEqual(expect.arrayContaining(moved));
  });
});
