import { describe, expect, it } from "vitest";

import { parseCatalog } from "../../../../core/catalog.ts";
import { A, aMachineReport, B, C, epoch, FleetScene, MAC } from "./fleet-scene.ts";

/** What the pools are told at a tick, and what they are not told again. */

function joined(): FleetScene {
  const scene = new FleetScene();
  scene.register(A, { models: [A, B, C].map((id) => ({ id, size_bytes: 1 })) });
  scene.register(B, { models: [A, B, C].map((id) => ({ id, size_bytes: 1 })) });
  scene.confirmAll();
  scene.core.configurePools(scene.now);
  scene.confirmAll();
  return scene;
}

const catalogOf = (...entries: readonly object[]) => {
  const parsed = parseCatalog(
    entries.map((entry) => ({ context_length: 1, size_gb: 1, min_ram_gb: 2, ...entry })),
  );
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.catalog;
};

describe("[H17] settings", () => {
  it("go to each pool of the catalog, and again only where they were not confirmed or have changed", () => {
    const scene = new FleetScene();
    scene.tick(30_000);
    const [first, ...others] = scene.calls();
    expect([first, ...others].map((made) => made && `${made.call.kind} ${made.pool}`)).toEqual([
      "settings a",
      "settings b",
      "settings c",
    ]);
    for (const made of others) scene.confirm(made);
    scene.tick(30_000);
    expect(scene.callNames()).toEqual(["settings a"]);
    scene.core.configurePools(scene.now);
    scene.confirmAll();
    scene.restart();
    scene.core.configurePools(scene.now);
    expect(scene.callNames()).toEqual([]);
    scene.core.flagBook.set("queue_max", "7");
    scene.core.configurePools(scene.now);
    expect(scene.calls()).toMatchObject(
      [A, B, C].map((pool) => ({ pool, call: { settings: { flags: { queue_max: 7 } } } })),
    );
  });

  it("are each model's own where the catalog says so", () => {
    const scene = new FleetScene();
    scene.core.directory.catalog = catalogOf({ id: A, decode_floor_tps: 3, max_concurrency: 2 }, { id: B });
    const { decode_floor_tps } = scene.core.flagBook.flags;
    expect(scene.core.settingsFor(A, scene.now).flags.decode_floor_tps).toBe(3);
    expect(scene.core.settingsFor(B, scene.now).flags.decode_floor_tps).toBe(decode_floor_tps);
    expect(scene.core.readCall(A, scene.now).slotsPerMachine).toBe(2);
  });
});

describe("[H10] a list of pools that has changed", () => {
  const announced = (scene: FleetScene) => {
    scene.tick(30_000, { a: [aMachineReport()], b: [aMachineReport()] });
    const calls = scene.calls();
    for (const made of calls) scene.confirm(made);
    return calls.flatMap(({ pool, call }) => (call.kind === "announce" ? [{ pool, ...call }] : []));
  };

  it("is told an unmanaged machine through each pool, until it has been passed on and the machine has dialed", () => {
    const scene = joined();
    expect(announced(scene)).toEqual([]);
    scene.core.directory.catalog = catalogOf({ id: A }, { id: C });
    const assignment = { model_id: null, epoch: 0, drain_ms: 30_000, load_ms: 180_000 };
    expect(announced(scene)).toMatchObject(
      [A, B].map((pool) => ({ pool, machineId: MAC, pools: [A, C], assignment })),
    );
    // An older list may have come after this one.
    expect(announced(scene)).toHaveLength(2);
    scene.dial(C);
    expect(announced(scene)).toEqual([]);
  });

  it("is not told again before a machine that has just registered has had time to dial", () => {
    const scene = new FleetScene();
    scene.join(A);
    scene.calls();
    expect(announced(scene)).toEqual([]);
    expect(announced(scene)).toMatchObject([{ pool: A, pools: [A, B] }]);
    scene.dial(B);
    expect(announced(scene)).toEqual([]);
  });

  it("is not told one that belongs to a pool, or whose pools have yet to let go", () => {
    const scene = joined();
    scene.core.orders.pin(MAC, B, scene.now);
    scene.core.directory.catalog = catalogOf({ id: A }, { id: B });
    expect(announced(scene)).toEqual([]);
    scene.confirmAll();
    scene.core.orders.release(MAC, "by hand", scene.now);
    const calls = scene.calls();
    scene.tick(30_000);
    expect(scene.callNames()).not.toContain("announce a");
    for (const made of calls) scene.confirm(made);
    scene.confirmAll();
    scene.core.told(
      A,
      { kind: "holds", machineId: MAC, held: { model_id: null, epoch: epoch(2) } },
      scene.now,
    );
    expect(announced(scene).map(({ pool }) => pool)).toEqual([A, B]);
  });
});
