import { describe, expect, it } from "vitest";

import { UNPROVEN } from "../../../../core/pool/attestation.ts";
import { epochSchema, machineIdSchema } from "../../../../protocol/ids.ts";
import { PoolScene, type Machine } from "./pool-scene.ts";

describe("[H12] the free slots of a machine", () => {
  it.each([
    ["its own limit", { running: 0, max_concurrency: 3 }, 8, 3],
    ["the catalog's, if that is lower", { running: 0, max_concurrency: 8 }, 2, 2],
    ["what its other pools have left", { running: 2, max_concurrency: 3 }, 8, 1],
    ["none, if its other pools take all", { running: 3, max_concurrency: 3 }, 8, 0],
    ["none, if it runs more than its limit", { running: 9, max_concurrency: 3 }, 8, 0],
  ])("are %s", (_, heartbeat, slots, free) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.heartbeat(mac, heartbeat);
    expect(scene.pool.report(scene.now, slots).machines).toMatchObject([{ freeSlots: free }]);
  });

  it.each([
    ["its own limit", 3, 8, 3],
    ["the catalog's", 8, 2, 2],
  ])("are used up to %s and not beyond", (_, limit, slots, used) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: limit });
    for (let i = 0; i < 10; i++) scene.ask({ slots });
    expect(scene.requestsOf(mac)).toHaveLength(used);
  });

  it("are none while its other pools take all of them", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.heartbeat(mac, { running: 2 });
    scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
  });

  it("count the pool's own requests that the machine has not heard of yet", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 3 });
    for (let i = 0; i < 5; i++) scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(3);
    // It wrote this before they arrived.
    scene.heartbeat(mac, { running: 0, max_concurrency: 3 });
    expect(scene.requestsOf(mac)).toEqual([]);
  });

  it("do not count a request of ours and its echo in the heartbeat twice", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 2 });
    scene.ask();
    scene.requestOf(mac);
    scene.heartbeat(mac, { running: 1 });
    scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("are not below none when the limit falls under what runs", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { max_concurrency: 3 });
    for (let i = 0; i < 3; i++) scene.ask();
    scene.heartbeat(mac, { running: 3, max_concurrency: 1 });
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ inFlight: 3, freeSlots: 0 }]);
  });
});

describe("[H12] a machine without the model in memory", () => {
  it("is asked only when nothing runs on it", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { loaded_models: ["other"] });
    scene.heartbeat(mac, { loaded_models: ["other"], running: 1 });
    scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.heartbeat(mac, { loaded_models: ["other"], running: 0 });
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("is not sent a second request before it has loaded for the first", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", { loaded_models: [] });
    scene.ask();
    scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(1);
    scene.heartbeat(mac, { running: 1 });
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });
});

describe("the gate", () => {
  it.each([
    ["reserved", (scene: PoolScene, mac: Machine) => scene.heartbeat(mac, { reserved: true })],
    ["not_accepting", (scene: PoolScene, mac: Machine) => scene.heartbeat(mac, { accepting: false })],
    ["too_hot", (scene: PoolScene, mac: Machine) => scene.heartbeat(mac, { thermal_state: "critical" })],
    ["silent", (scene: PoolScene) => (scene.now += 60_001)],
  ])("[F9] keeps requests from a machine that is %s, and the report says so", (reason, happen) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    happen(scene, mac);
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ blockedBy: reason }]);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    expect(scene.requestsOf(mac)).toEqual([]);
  });

  it.each([
    ["owner_private", { private_only: true }],
    ["model_not_on_machine", { models: [{ id: "other", size_bytes: 1 }] }],
  ])("[F9] keeps requests from a machine that registers as %s", (reason, fields) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1", fields);
    expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ blockedBy: reason }]);
    expect(scene.ask().refusedWith).toBe("model_unavailable");
    expect(scene.requestsOf(mac)).toEqual([]);
  });

  it("lets a machine that is stopping finish what it runs", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const client = scene.ask();
    const sent = scene.requestOf(mac);
    scene.heartbeat(mac, { accepting: false, running: 1 });
    scene.serve(sent, "to the end");
    expect(client.text).toBe("to the end");
  });
});

describe("the choice", () => {
  it("prefers a machine with the model in memory", () => {
    const scene = new PoolScene();
    scene.join("mac-1", { loaded_models: ["other"] });
    const loaded = scene.join("mac-2");
    scene.ask();
    expect(scene.requestsOf(loaded)).toHaveLength(1);
  });

  it.each([
    ["has read the beginning of the prompt", { prefix: [7] }],
    ["has answered under the same cache key", { cacheKeys: [7] }],
  ])("prefers the machine that %s, until it may have forgotten it", (_, beginning) => {
    const scene = new PoolScene();
    const macs = [scene.join("mac-1"), scene.join("mac-2")];
    const ask = (): string => {
      scene.now += 1;
      scene.ask({ ...beginning, body: JSON.stringify({ x: "x".repeat(40_000) }) });
      const [sent] = macs.flatMap((mac) => scene.requestsOf(mac));
      if (sent === undefined) throw new Error("nobody was asked");
      scene.serve(sent, "x", { cached: 10_000 });
      return sent.machine.connection.identity.machineId;
    };
    const first = ask();
    expect([ask(), ask()]).toEqual([first, first]);
    const machineId = machineIdSchema.parse(first);
    scene.pool.orders.release(machineId, epochSchema.parse(1), scene.now);
    scene.pool.orders.unmanage(machineId, epochSchema.parse(2), scene.now);
    expect(ask()).not.toBe(first);
  });

  it("spreads requests over equals, also when they come one after the other", () => {
    const scene = new PoolScene();
    const macs = [scene.join("mac-1"), scene.join("mac-2")];
    scene.ask();
    scene.ask();
    const first = macs.map((mac) => scene.requestsOf(mac));
    expect(first.map(({ length }) => length)).toEqual([1, 1]);
    for (const sent of first.flat()) scene.serve(sent, "x");
    const picked = [];
    for (let i = 0; i < 4; i++) {
      scene.now += 1;
      scene.ask();
      for (const mac of macs) {
        for (const sent of scene.requestsOf(mac)) {
          picked.push(mac.connection.identity.machineId);
          scene.serve(sent, "x");
        }
      }
    }
    expect(new Set(picked.slice(0, 2)).size).toBe(2);
    expect(picked.slice(2)).toEqual(picked.slice(0, 2));
  });
});

describe("[H20] a silent machine", () => {
  it("loses its requests to another after 60 s", () => {
    const scene = new PoolScene();
    const [silent, alive] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask({ stream: false });
    scene.accept(scene.requestOf(silent));
    scene.advance(60_000, alive);
    expect(silent.socket.closed).toBeNull();
    // The pool looks every 10 s.
    const lookUntil = scene.now + 10_000;
    while (silent.socket.closed === null && scene.now < lookUntil) scene.advance(250, alive);
    expect(silent.socket.closed?.reason).toBe("silent");
    scene.serve(scene.requestOf(alive), "ok");
    expect(client.text).toBe("ok");
  });

  it.each([
    [
      "a ping that the platform answered",
      (scene: PoolScene, mac: Machine) => (mac.socket.pongAt = scene.now),
    ],
    ["a message", (scene: PoolScene, mac: Machine) => scene.heartbeat(mac)],
    [
      "a frame of bytes",
      (scene: PoolScene, mac: Machine) =>
        scene.pool.receiveFrame(mac.connection, new ArrayBuffer(0), scene.now),
    ],
  ])("is not silent after %s", (_, sign) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.now += 59_000;
    sign(scene, mac);
    scene.now += 60_000;
    scene.pool.sweep(scene.now);
    expect(mac.socket.closed).toBeNull();
    scene.now += 1;
    scene.pool.sweep(scene.now);
    expect(mac.socket.closed?.reason).toBe("silent");
  });

  it("is closed by the sweep, and no other socket is", () => {
    const scene = new PoolScene();
    scene.join("mac-1");
    scene.now += 60_001;
    scene.join("mac-2");
    const dialing = scene.dial("mac-3");
    scene.pool.sweep(scene.now);
    expect([...scene.remembered]).toEqual(["mac-2"]);
    expect(dialing.socket.closed).toBeNull();
  });
});

it("a revoked token closes every socket that was dialed with it, and no other", () => {
  const scene = new PoolScene();
  const [registered, unregistered] = [scene.join("mac-1"), scene.dial("mac-2")];
  scene.pool.orders.revoke("other", scene.now);
  expect([registered.socket.closed, unregistered.socket.closed]).toEqual([null, null]);
  scene.pool.orders.revoke("t", scene.now);
  for (const { socket } of [registered, unregistered]) expect(socket.closed?.reason).toBe("notAllowed");
  expect(scene.pool.report(scene.now, 4).machines).toEqual([]);
  // The sockets' own close, which follows, is no loss to wait for.
  scene.pool.disconnected(registered.connection, scene.now);
  expect(scene.ask().refusedWith).toBe("model_unavailable");
});

it("[H22] a quarantined machine loses its sockets, and nobody waits for it", () => {
  const scene = new PoolScene();
  const [bad, good] = [scene.join("mac-1"), scene.join("mac-2")];
  const dialing = scene.dial("mac-1");
  scene.pool.orders.expel(bad.connection.identity.machineId, scene.now);
  for (const { socket } of [bad, dialing]) expect(socket.closed?.reason).toBe("notAllowed");
  expect(good.socket.closed).toBeNull();
  scene.heartbeat(good, { accepting: false });
  scene.pool.disconnected(bad.connection, scene.now);
  expect(scene.ask().refusedWith).toBe("model_unavailable");
});

it("what the machines of a revoked token run without a byte goes to none of the others that go", () => {
  const scene = new PoolScene();
  const leaving = [1, 2, 3, 4].map((n) => scene.join(`mac-${n}`, { max_concurrency: 1 }, "revoked"));
  const client = scene.ask();
  const good = scene.join("mac-5");
  scene.pool.orders.revoke("revoked", scene.now);
  for (const { socket } of leaving) expect(socket.closed?.reason).toBe("notAllowed");
  expect(scene.requestsOf(good)).toHaveLength(1);
  expect(client.refusedWith).toBeNull();
});

describe("a pool that has slept", () => {
  it("routes at once to the machines whose sockets slept with it", () => {
    const scene = new PoolScene();
    const awake = scene.sleep(scene.join("mac-1"));
    const client = awake.scene.ask();
    const [mac] = awake.machines;
    if (mac === undefined) throw new Error("one machine slept");
    awake.scene.serve(awake.scene.requestOf(mac), "awake");
    expect(client.text).toBe("awake");
  });

  it.each([
    ["accepting", { accepting: false }, "not_accepting"],
    ["thermal_state", { thermal_state: "critical" }, "too_hot"],
  ])("remembers what the last heartbeat said of %s", (_, fields, reason) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.heartbeat(mac, fields);
    const awake = scene.sleep(mac).scene;
    expect(awake.pool.report(awake.now, 4).machines).toMatchObject([{ blockedBy: reason }]);
  });

  it("answers before it looks up who was here, and then looks once", () => {
    const scene = new PoolScene();
    const { scene: awake, machines } = scene.sleep(scene.join("mac-1"));
    const [mac] = machines;
    if (mac === undefined) throw new Error("it was to wake with its machine");
    const client = awake.ask();
    awake.serve(awake.requestOf(mac), "here");
    expect(client.text).toBe("here");
    expect(awake.memoryReads).toBe(0);
    for (let ticks = 0; ticks < 3; ticks++) {
      awake.pool.nextTickAt(awake.now);
      awake.pool.tick(awake.now);
    }
    expect(awake.memoryReads).toBe(1);
  });

  it("does not wait for a machine that has left since it woke, whenever it looks", () => {
    const scene = new PoolScene();
    const { scene: awake, machines } = scene.sleep(scene.join("mac-1"), scene.join("mac-2"));
    const [mac] = machines;
    if (mac === undefined) throw new Error("it was to wake with its machine");
    awake.heartbeat(mac, { accepting: false });
    awake.lose(mac);
    expect(awake.pool.nextTickAt(awake.now)).toBeNull();
    expect(awake.memoryReads).toBe(1);
  });

  it("[H11] hears of a socket that closed in its sleep only if the machine has no other", () => {
    const scene = new PoolScene();
    const older = scene.dial("mac-1");
    scene.register(older);
    const { scene: awake } = scene.sleep(scene.join("mac-1"));
    const { identity } = older.connection;
    const lost = { identity, registration: null, streamsReserved: 0, retiresAt: null, trust: UNPROVEN };
    awake.pool.lostAsleep(lost, awake.now);
    expect([...awake.remembered]).toEqual(["mac-1"]);
    const { scene: alone } = scene.sleep();
    alone.pool.lostAsleep(lost, alone.now);
    expect([...alone.remembered]).toEqual([]);
    // It had not registered, so nobody waits for it.
    expect(alone.ask().refusedWith).toBe("model_unavailable");
  });

  it("never gives a stream number twice on one socket", () => {
    let scene = new PoolScene();
    let mac = scene.join("mac-1");
    const used = new Set<unknown>();
    for (let life = 0; life < 3; life++) {
      for (let i = 0; i < 1030; i++) {
        scene.ask();
        const sent = scene.requestOf(mac);
        expect(used.has(sent.request["stream"])).toBe(false);
        used.add(sent.request["stream"]);
        scene.serve(sent, "x");
      }
      const awake = scene.sleep(mac);
      scene = awake.scene;
      mac = awake.machines[0] ?? mac;
    }
    expect(used.size).toBe(3 * 1030);
  });

  it("still waits for the register of a socket that had not registered", () => {
    const scene = new PoolScene();
    const dialing = scene.dial("mac-1");
    const awake = scene.sleep(dialing);
    expect(awake.scene.pool.report(awake.scene.now, 4).machines).toEqual([]);
    const [mac] = awake.machines;
    if (mac === undefined) throw new Error("one machine slept");
    awake.scene.register(mac);
    awake.scene.admit(mac);
    awake.scene.ask();
    expect(awake.scene.requestsOf(mac)).toHaveLength(1);
  });
});

describe("a machine that closes its socket", () => {
  /** What the fleet is told of it. */
  const told = (code: number, fields: object, isAsleep = false) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.heartbeat(mac, fields);
    const { saved } = mac.socket;
    if (saved === null) throw new Error("the state of a registered socket is kept");
    const awake = isAsleep ? new PoolScene([...scene.remembered], scene.now) : scene;
    if (isAsleep) awake.pool.lostAsleep(saved, awake.now, code);
    else awake.pool.disconnected(mac.connection, awake.now, code);
    return awake.news.filter(({ kind }) => kind === "left");
  };
  const LEFT = [{ kind: "left", machineId: "mac-1", sessionId: "s" }];

  it.each([1000, 1001])("after it has said that it stops has gone in order, with code %i", (code) => {
    expect(told(code, { accepting: false })).toEqual(LEFT);
    expect(told(code, { accepting: false }, true)).toEqual(LEFT);
  });

  it("has not if the network took the socket, or if it has not said so", () => {
    for (const isAsleep of [false, true]) {
      expect(told(1006, { accepting: false }, isAsleep)).toEqual([]);
      expect(told(1000, { accepting: true }, isAsleep)).toEqual([]);
    }
  });

  it("has not if the pool has closed it before", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.heartbeat(mac, { accepting: false });
    scene.pool.orders.expel(mac.connection.identity.machineId, scene.now);
    scene.pool.disconnected(mac.connection, scene.now, 1000);
    expect(scene.news.filter(({ kind }) => kind === "left")).toEqual([]);
  });
});
