import { describe, expect, it } from "vitest";

import { UNPROVEN } from "../../../../core/pool/attestation.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { MODEL, PoolScene, type Machine } from "./pool-scene.ts";

/** Names of machines. */
function names(machines: readonly Machine[]): string[] {
  return machines.map(({ connection }) => connection.identity.machineId);
}

/** A pool of four machines, after it has slept. */
function slept(fields: Readonly<Record<string, object>> = {}) {
  const before = new PoolScene();
  const ids = ["mac-1", "mac-2", "mac-3", "mac-4"];
  return before.sleepOn(...ids.map((id) => before.join(id, { max_concurrency: 1, ...fields[id] })));
}

describe("a pool that wakes for a request", () => {
  it("wakes no more machines than the request needs, and all at its next tick", () => {
    const { scene, woken } = slept();
    const client = scene.ask();
    const [first] = woken;
    if (first === undefined) throw new Error("somebody has to serve it");
    scene.serve(scene.requestOf(first), "here");
    expect(client.text).toBe("here");
    expect(names(woken)).toEqual(["mac-1"]);
    expect(scene.pool.nextTickAt(scene.now)).not.toBeNull();
    scene.advance(250, ...woken);
    expect(names(woken)).toEqual(["mac-1", "mac-2", "mac-3", "mac-4"]);
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
  });

  it.each([
    ["is full", { max_concurrency: 1 }],
    ["has another model in memory", { loaded_models: ["other/model"] }],
    ["is private", { private_only: true }],
    ["has not the model", { models: [] }],
  ])("goes on to the next if the first machine %s", (reason, first) => {
    const { scene, woken } = slept({ "mac-1": first });
    if (reason === "is full") scene.ask();
    const client = scene.ask();
    const last = woken.at(-1);
    if (last === undefined) throw new Error("somebody has to serve it");
    scene.serve(scene.requestOf(last), "here");
    expect(client.text).toBe("here");
  });

  it("refuses it only when all are awake", () => {
    const away = { private_only: true };
    const { scene, woken } = slept({ "mac-1": away, "mac-2": away, "mac-3": away, "mac-4": away });
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    expect(woken).toHaveLength(4);
  });

  it("has it wait only when all are awake", () => {
    const { scene, woken } = slept();
    const clients = Array.from({ length: 5 }, () => scene.ask());
    expect(woken.map((machine) => scene.requestsOf(machine))).toMatchObject([[{}], [{}], [{}], [{}]]);
    expect(clients.map(({ refusedWith }) => refusedWith)).toEqual([null, null, null, null, null]);
    expect(scene.pool.report(scene.now, 4)).toMatchObject({ inFlight: 4, queued: 1 });
  });

  it("takes no machine for missing that sleeps on", () => {
    const { scene, woken } = slept();
    scene.ask();
    const [first] = woken;
    if (first === undefined) throw new Error("somebody has to serve it");
    scene.lose(first);
    expect([...scene.remembered]).toEqual(["mac-2", "mac-3", "mac-4"]);
    scene.advance(60_000, ...woken);
    expect([...scene.remembered]).toEqual(["mac-2", "mac-3", "mac-4"]);
    expect(scene.pool.report(scene.now, 4).isExpectingMachines).toBe(false);
  });

  it("[H21] has the owner's machine serve the owner, wherever it sleeps", () => {
    const { scene, woken } = slept({ "mac-3": { private_only: true } });
    scene.ask({ owner: { machines: new Set(["mac-3"]), otherwise: "wait", isSwitching: false } });
    const own = woken.find(({ connection }) => connection.identity.machineId === "mac-3");
    expect(own === undefined ? [] : scene.requestsOf(own)).toHaveLength(1);
  });

  it("refuses none as too slow that a machine which sleeps might answer in time", () => {
    const slow = { models: [{ id: MODEL, size_bytes: 1, prefill_tps: 1 }] };
    const long = { body: `{"x":"${"x".repeat(40_000)}"}` };
    const one = slept({ "mac-1": slow });
    expect(one.scene.ask(long).refusedWith).toBeNull();
    const all = slept({ "mac-1": slow, "mac-2": slow, "mac-3": slow, "mac-4": slow });
    expect(all.scene.ask(long).refusedWith).toBe("ttft_too_slow");
  });
});

it("[H11] a socket that closed in its sleep says nothing of a machine whose other socket sleeps on", () => {
  const before = new PoolScene();
  const { identity } = before.dial("mac-1").connection;
  const { scene } = before.sleepOn(before.join("mac-1"));
  scene.pool.lostAsleep(
    { identity, registration: null, streamsReserved: 0, retiresAt: null, trust: UNPROVEN },
    scene.now,
  );
  expect([...scene.remembered]).toEqual(["mac-1"]);
});

describe("whatever is about a machine that sleeps", () => {
  it.each([
    ["an order", (scene: PoolScene) => scene.pool.orders.expel(machineIdSchema.parse("mac-4"), scene.now)],
    ["a revoked token", (scene: PoolScene) => scene.pool.orders.revoke("t", scene.now)],
    ["silence", (scene: PoolScene) => scene.advance(120_000)],
  ])("finds it: %s", (_, happen) => {
    const { scene, woken } = slept();
    scene.ask();
    happen(scene);
    expect(woken.at(-1)?.socket.closed).not.toBeNull();
  });

  it("is in the report", () => {
    const { scene } = slept();
    scene.ask();
    expect(scene.pool.report(scene.now, 4).machines.map(({ machineId }) => machineId)).toEqual([
      "mac-1",
      "mac-2",
      "mac-3",
      "mac-4",
    ]);
  });
});
