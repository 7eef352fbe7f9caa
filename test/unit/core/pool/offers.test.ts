import { describe, expect, it } from "vitest";

import { epoch, expected, modeOf, say } from "./assigned-scene.ts";
import { anAdmission, MODEL, PoolScene, UNMANAGED, type Machine } from "./pool-scene.ts";

/** What the machine's register said, and what is different now. */
function offer(scene: PoolScene, machine: Machine, fields: object = {}): void {
  const models = [MODEL, "more"].map((id) => ({ id, size_bytes: 1 }));
  scene.register(machine, { type: "offer", models, ...fields });
}

/** A machine that is in, and of which the fleet has been asked nothing since. */
function joined(fields: object = {}): { scene: PoolScene; mac: Machine } {
  const scene = new PoolScene();
  const mac = scene.join("mac-1", fields);
  scene.questions.length = 0;
  return { scene, mac };
}

describe("an offer", () => {
  it("is put to the fleet, and the socket and what runs on it stay", () => {
    const { scene, mac } = joined();
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.bytes(sent, "half");
    offer(scene, mac);
    expect(scene.questions).toEqual([mac.connection]);
    expect(mac.connection.admitting?.register).toMatchObject({
      type: "register",
      models: [{}, { id: "more" }],
    });
    scene.admit(mac, anAdmission({ pools: [MODEL] }));
    expect(mac.socket.take("registered")).toMatchObject([{ pools: [MODEL], takes_offers: true }]);
    scene.finish(sent);
    expect(client.text).toContain("half");
    expect(client.ended).not.toBeNull();
    expect(mac.socket.closed).toBeNull();
  });

  it("of the pool's own model makes the machine routable for it", () => {
    const { scene, mac } = joined({ models: [] });
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ blockedBy: "model_not_on_machine" }]);
    offer(scene, mac, { models: [{ id: MODEL, size_bytes: 1, decode_tps: 50 }] });
    scene.admit(mac);
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ blockedBy: null, decodeTps: 50 }]);
  });

  it("changes nothing of what heartbeats have said since, nor of the order", () => {
    const { scene, mac } = expected();
    say(scene, mac, "succeeded");
    scene.heartbeat(mac, { running: 1, accepting: false, loaded_models: ["visited"] });
    // It is away for its owner, whose model it has in memory.
    offer(scene, mac, { loaded_models: ["visited"], assignment: { model_id: MODEL, epoch: 5 } });
    scene.admit(mac, anAdmission({ stamp: { mode: "managed", epoch: epoch(5) } }));
    expect(modeOf(scene)).toBe("assigned");
    expect(mac.connection.registration).toMatchObject({ running: 1, accepting: false });
  });

  it.each([
    ["refuses it", { admitted: false, close: "badMessage" } as const],
    [
      "has answered before an order that is known here",
      anAdmission({ stamp: { mode: "managed", epoch: epoch(4) } }),
    ],
  ])("costs no socket if the fleet %s", (_, answer) => {
    const { scene, mac } = expected();
    scene.questions.length = 0;
    offer(scene, mac);
    scene.admit(mac, answer);
    expect(mac.socket.closed).toBeNull();
    expect(mac.socket.take("registered")).toEqual([]);
    offer(scene, mac);
    expect(scene.questions).toHaveLength(2);
  });

  it("is known here although an order has overtaken the fleet's answer: it is about the machine's disk", () => {
    const { scene, mac } = joined({ models: [] });
    offer(scene, mac, { models: [{ id: MODEL, size_bytes: 1, decode_tps: 50, context_length: 8192 }] });
    scene.pool.orders.unmanage(mac.connection.identity.machineId, epoch(6), scene.now);
    scene.admit(mac, anAdmission({ stamp: { mode: "managed", epoch: epoch(5) } }));
    expect(mac.socket.take("registered")).toEqual([]);
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([
      { blockedBy: null, decodeTps: 50, contextLength: 8192 },
    ]);
  });

  it("is put again to a fleet that does not answer", () => {
    const { scene, mac } = joined();
    offer(scene, mac);
    scene.pool.fleetSilent(mac.connection, scene.now);
    scene.advance(2_000, mac);
    expect(scene.questions).toHaveLength(2);
    scene.admit(mac);
    expect(mac.socket.take("registered")).toHaveLength(1);
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
  });

  it("that comes while the fleet is asked is put to it afterwards, and of several the newest", () => {
    const { scene, mac } = joined();
    offer(scene, mac, { models: [] });
    for (const id of ["one", "two"]) offer(scene, mac, { models: [{ id, size_bytes: 1 }] });
    expect(scene.questions).toHaveLength(1);
    scene.admit(mac);
    expect(scene.questions).toHaveLength(2);
    expect(mac.connection.admitting?.register.models).toMatchObject([{ id: "two" }]);
    scene.admit(mac);
    expect(scene.questions).toHaveLength(2);
  });

  it.each([
    ["another machine", { machine_id: "mac-2" }],
    ["another process", { session_id: "t" }],
    ["another key", { public_key: "other" }],
  ])("of %s closes the socket", (_, fields) => {
    const { scene, mac } = joined();
    offer(scene, mac, fields);
    expect(mac.socket.closed?.reason).toBe("badMessage");
    expect(scene.questions).toEqual([]);
  });

  it("is no register: before one it closes the socket, and before its answer it is ignored", () => {
    const scene = new PoolScene();
    const early = scene.dial("mac-1");
    offer(scene, early);
    expect(early.socket.closed?.reason).toBe("badMessage");
    const waiting = scene.dial("mac-2");
    scene.register(waiting);
    offer(scene, waiting);
    expect(waiting.socket.closed).toBeNull();
    scene.admit(waiting);
    expect(scene.questions).toHaveLength(1);
    expect(scene.pool.report(scene.now, 4).ignored.messages).toBe(1);
  });

  it("is not taken more than 60 times a minute", () => {
    const { scene, mac } = joined();
    for (let count = 0; count < 61; count++) {
      offer(scene, mac);
      if (count < 60) scene.admit(mac);
    }
    expect(mac.socket.closed?.reason).toBe("badMessage");
  });

  it("waits for the fleet's word on a machine that its pool has let in by itself", () => {
    const { scene, mac } = expected();
    say(scene, mac, "succeeded");
    scene.lose(mac);
    const back = scene.dial("mac-1");
    scene.register(back, { assignment: { model_id: MODEL, epoch: 5 } });
    scene.pool.fleetSilent(back.connection, scene.now);
    offer(scene, back);
    scene.admit(back, anAdmission({ stamp: { mode: "managed", epoch: epoch(5) }, assignment: UNMANAGED }));
    expect(back.connection.admitting?.register.models).toHaveLength(2);
  });
});
