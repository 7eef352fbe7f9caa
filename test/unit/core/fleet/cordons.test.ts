import { describe, expect, it } from "vitest";

import { machineIdSchema } from "../../../../protocol/ids.ts";
import { A, aMachineReport, B, FleetScene, MAC } from "./fleet-scene.ts";
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
    const first = scene.now;
    cordon(scene);
    scene.now += 60_000;
    cordon(scene);
    expect(scene.core.directory.get(MAC)).toMatchObject({ cordonedAt: first });
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

  it("is not told where the machine has no socket: it hears when it registers", () => {
    const scene = new FleetScene();
    scene.join(A);
    cordon(scene);
    scene.calls();
    scene.tick(30_000, { a: [aMachineReport({ isConnected: false, blockedBy: "offline" })] });
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
