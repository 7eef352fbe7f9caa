import { describe, expect, it } from "vitest";

import { expected, say } from "./assigned-scene.ts";
import { anAdmission, MODEL, PoolScene, UNMANAGED } from "./pool-scene.ts";

describe("a register", () => {
  it("is put to the fleet and answered with what the fleet says", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    expect(scene.questions).toEqual([mac.connection]);
    expect(mac.socket.sent).toEqual([]);
    scene.admit(mac, anAdmission());
    expect(mac.socket.sent).toEqual([
      {
        type: "registered",
        machine_id: "mac-1",
        pool: "m",
        pools: ["m"],
        assignment: { model_id: null, epoch: 0, drain_ms: 30_000, load_ms: 180_000 },
        heartbeat_ms: 60_000,
        flush_ms: 40,
        takes_offers: true,
      },
    ]);
  });

  it("makes the machine routable only once it is admitted, and then without a heartbeat", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    scene.admit(mac);
    scene.ask();
    expect(mac.socket.sent.map(({ type }) => type)).toEqual(["registered", "inference_request"]);
  });

  it.each(["foreignKey", "notAllowed", "tooOld", "badMessage"] as const)(
    "that the fleet turns down with %s closes its own socket and no other",
    (close) => {
      const scene = new PoolScene();
      const owner = scene.join("mac-1");
      const thief = scene.dial("mac-1");
      scene.register(thief);
      scene.admit(thief, { admitted: false, close });
      expect(thief.socket.closed?.reason).toBe(close);
      expect(owner.socket.closed).toBeNull();
      scene.ask();
      expect(scene.requestsOf(owner)).toHaveLength(1);
      expect([...scene.remembered]).toEqual(["mac-1"]);
    },
  );

  it("keeps the heartbeat that came before the fleet's answer", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    scene.heartbeat(mac, { accepting: false });
    scene.admit(mac);
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ blockedBy: "not_accepting" }]);
  });

  it("of a socket that closed meanwhile is admitted to nothing", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    scene.lose(mac);
    scene.admit(mac);
    expect(scene.pool.report(scene.now, 4).machines).toEqual([]);
    expect(scene.remembered.size).toBe(0);
  });

  it("is answered once, even if the fleet answers twice", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    scene.admit(mac);
    scene.admit(mac, { admitted: false, close: "foreignKey" });
    expect(mac.socket.closed).toBeNull();
    expect(mac.socket.take("registered")).toHaveLength(1);
  });

  it.each([
    ["that comes twice", { max_concurrency: 1 }, true],
    ["that comes again before the fleet has answered", { max_concurrency: 1 }, false],
  ])("%s closes the socket", (_, fields, isAdmitted) => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    if (isAdmitted) scene.admit(mac);
    scene.register(mac, fields);
    expect(mac.socket.closed?.reason).toBe("badMessage");
    scene.admit(mac);
    expect(scene.pool.report(scene.now, 4).machines).toEqual([]);
  });

  it("of another machine than dialed closes the socket without asking the fleet", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac, { machine_id: "mac-2" });
    expect(mac.socket.closed?.reason).toBe("badMessage");
    expect(scene.questions).toEqual([]);
  });

  it("must come within 10 s", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    const tickAt = Number(scene.pool.nextTickAt(scene.now));
    expect(tickAt - scene.now).toBe(10_001);
    scene.now = tickAt - 1;
    scene.pool.sweep(scene.now);
    expect(mac.socket.closed).toBeNull();
    scene.now = tickAt;
    scene.pool.tick(scene.now);
    expect(mac.socket.closed?.reason).toBe("notRegistered");
    expect(scene.pool.nextTickAt(scene.now)).toBeNull();
  });
});

describe("[H11] a second register of the same machine", () => {
  it("replaces the older socket only once it is admitted", () => {
    const scene = new PoolScene();
    const older = scene.join("mac-1");
    const newer = scene.dial("mac-1");
    scene.register(newer);
    expect(older.socket.closed).toBeNull();
    scene.ask();
    expect(scene.requestsOf(older)).toHaveLength(1);
    scene.admit(newer);
    expect(older.socket.closed?.reason).toBe("superseded");
    expect(scene.pool.report(scene.now, 4).machines).toHaveLength(1);
    expect([...scene.remembered]).toEqual(["mac-1"]);
  });

  it("takes over what had no byte yet, after it was greeted", () => {
    const scene = new PoolScene();
    const older = scene.join("mac-1");
    const client = scene.ask();
    scene.accept(scene.requestOf(older));
    const newer = scene.dial("mac-1");
    scene.register(newer);
    scene.admit(newer);
    expect(client.ended).toBeNull();
    expect(newer.socket.sent.map(({ type }) => type)).toEqual(["registered", "inference_request"]);
    scene.serve(scene.requestOf(newer), "whole");
    expect(client.text).toBe("whole");
  });

  it("ends what had begun with an error event, as a lost socket does", () => {
    const scene = new PoolScene();
    const older = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(older);
    scene.accept(sent);
    scene.bytes(sent, "half");
    const newer = scene.dial("mac-1");
    scene.register(newer);
    scene.admit(newer);
    expect(client.brokenWith).toBe("provider_error");
    expect(scene.requestsOf(newer)).toEqual([]);
  });

  it("is not undone by the older socket's close, which comes later", () => {
    const scene = new PoolScene();
    const older = scene.join("mac-1");
    const newer = scene.join("mac-1");
    scene.pool.disconnected(older.connection, scene.now);
    scene.ask();
    expect(scene.requestsOf(newer)).toHaveLength(1);
    expect([...scene.remembered]).toEqual(["mac-1"]);
  });

  it("is not undone by an older one that the fleet answers later", () => {
    const scene = new PoolScene();
    const older = scene.dial("mac-1");
    scene.register(older);
    scene.pool.fleetSilent(older.connection, scene.now);
    const newer = scene.join("mac-1");
    expect(older.socket.closed?.reason).toBe("superseded");
    scene.admit(older);
    expect(newer.socket.closed).toBeNull();
    scene.ask();
    expect(scene.requestsOf(newer)).toHaveLength(1);
  });

  it("leaves one that was dialed after it to the fleet", () => {
    const scene = new PoolScene();
    const older = scene.dial("mac-1");
    const newer = scene.dial("mac-1");
    scene.register(newer);
    scene.register(older);
    scene.admit(older);
    expect(newer.socket.closed).toBeNull();
    scene.admit(newer);
    expect(older.socket.closed?.reason).toBe("superseded");
  });
});

describe("a list of pools", () => {
  it("that has changed is announced to the machine, if it is here", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const { machineId } = mac.connection.identity;
    scene.pool.orders.announce(machineId, [], UNMANAGED);
    expect(mac.socket.take("registered")).toMatchObject([{ pool: "m", pools: [] }]);
    scene.lose(mac);
    scene.pool.orders.announce(machineId, [MODEL], UNMANAGED);
    expect(mac.socket.take("registered")).toEqual([]);
  });

  it("is not announced to a socket that was not admitted", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    scene.pool.orders.announce(mac.connection.identity.machineId, [MODEL], UNMANAGED);
    expect(mac.socket.sent).toEqual([]);
  });
});

describe("[H19] [D11] while the fleet does not answer", () => {
  it("a machine that is assigned here serves with the key it had, and nobody else", () => {
    const { scene, mac } = expected();
    say(scene, mac, "succeeded");
    scene.lose(mac);
    scene.ask();
    const thief = scene.dial("mac-1");
    scene.register(thief, { public_key: "other" });
    scene.pool.fleetSilent(thief.connection, scene.now);
    const stranger = scene.dial("mac-2");
    scene.register(stranger);
    scene.pool.fleetSilent(stranger.connection, scene.now);
    const back = scene.dial("mac-1");
    scene.register(back);
    scene.pool.fleetSilent(back.connection, scene.now);
    expect(back.socket.take("registered")).toMatchObject([{ assignment: { model_id: "m", epoch: 5 } }]);
    for (const { socket } of [thief, stranger]) expect(socket.sent).toEqual([]);
    scene.pool.fleetSilent(back.connection, scene.now);
    expect(back.socket.take("registered")).toEqual([]);
    // At once, what has waited for it included.
    expect([thief, stranger, back].map((machine) => scene.requestsOf(machine).length)).toEqual([0, 0, 1]);
    scene.ask();
    expect(scene.requestsOf(back)).toHaveLength(1);
  });

  it.each([
    [0, [2, 4, 8, 16, 30]],
    [0.5, [3, 6, 12, 24]],
  ])("is asked less and less, and for each machine at a time of its own: %d", (chance, waits) => {
    const scene = new PoolScene();
    scene.chance = chance;
    const mac = scene.dial("mac-1");
    scene.register(mac);
    for (const [asked, seconds] of waits.entries()) {
      scene.pool.fleetSilent(mac.connection, scene.now);
      expect(scene.pool.nextTickAt(scene.now)).toBe(scene.now + seconds * 1000);
      scene.now += seconds * 1000;
      scene.pool.tick(scene.now);
      expect(scene.questions).toHaveLength(asked + 2);
    }
  });

  it("asks again until it does", () => {
    const scene = new PoolScene();
    const mac = scene.dial("mac-1");
    scene.register(mac);
    scene.pool.fleetSilent(mac.connection, scene.now);
    scene.now = Number(scene.pool.nextTickAt(scene.now));
    scene.pool.tick(scene.now);
    expect(scene.questions).toHaveLength(2);
    scene.admit(mac);
    scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });
});
