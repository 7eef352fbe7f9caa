import { describe, expect, it } from "vitest";

import { RECORD_GRACE_MS } from "../../../../core/limits.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { epoch, expected, modeOf, say, TERMS } from "./assigned-scene.ts";
import { anAdmission, MODEL, PoolScene, type Machine, type Sent } from "./pool-scene.ts";

/** What the fleet says of a machine, and what a pool makes of it. */

const ORDER = {
  type: "assign_model" as const,
  model_id: MODEL,
  pools: [MODEL],
  reason: "pinned",
  drain_ms: 30_000,
  load_ms: 180_000,
};

describe("an order of the fleet", () => {
  it("[H4] counts only under a newer epoch, and is answered again under the same", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    say(scene, mac, "succeeded");
    expect(scene.pool.orders.expect(machineId, epoch(5), TERMS, scene.now)).toEqual({
      ok: true,
      mode: "assigned",
      epoch: 5,
    });
    expect(scene.pool.orders.release(machineId, epoch(4), scene.now)).toEqual({ ok: false, stale: 5 });
    expect(modeOf(scene)).toBe("assigned");
    expect(scene.pool.orders.release(machineId, epoch(6), scene.now)).toMatchObject({
      ok: true,
      mode: "released",
    });
    expect(scene.pool.orders.unmanage(machineId, epoch(5), scene.now)).toEqual({ ok: false, stale: 6 });
  });

  it("[H6] [C16] is passed on to the machine, if it is here and the pool knows none that is newer", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    const passOn = (at: number) => scene.pool.orders.passOn(machineId, { ...ORDER, epoch: epoch(at) });
    expect([4, 5].map(passOn)).toEqual([false, true]);
    expect(mac.socket.take("assign_model")).toMatchObject([{ epoch: 5 }]);
    expect(scene.news).toEqual([]);
    // The fleet has missed that the machine holds it.
    const held = { model_id: MODEL, epoch: 5 };
    scene.heartbeat(mac, { assignment: held, loaded_models: [] });
    scene.news.length = 0;
    passOn(5);
    expect(scene.news).toEqual([{ kind: "holds", machineId, held }]);
    scene.lose(mac);
    expect(passOn(5)).toBe(false);
  });

  it("[H4] that is repeated puts nothing off", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    scene.pool.orders.release(machineId, epoch(6), scene.now);
    const closesAt = scene.pool.nextDeadlineAt();
    scene.now += 30_000;
    expect(scene.pool.orders.release(machineId, epoch(6), scene.now)).toEqual({
      ok: true,
      mode: "released",
      epoch: 6,
    });
    expect(scene.pool.nextDeadlineAt()).toBe(closesAt);
  });

  it("is about its machine and no other", () => {
    const scene = new PoolScene();
    const [one, two] = [scene.join("mac-1"), scene.join("mac-2")];
    scene.pool.orders.release(one.connection.identity.machineId, epoch(1), scene.now);
    scene.ask();
    expect(scene.requestsOf(two)).toHaveLength(1);
  });

  it("[H1] to forget a machine is obeyed at once if the pool has never heard of it, and never if it belongs here", () => {
    const { scene, mac } = expected();
    scene.lose(mac);
    // It fails on the way, which begins the time anew.
    scene.advance(2 * RECORD_GRACE_MS + 1);
    expect(scene.pool.orders.forget(mac.connection.identity.machineId, scene.now)).toBe(false);
    expect(scene.pool.orders.forget(machineIdSchema.parse("mac-9"), scene.now)).toBe(true);
  });

  it("[H4] of an older epoch is known for what it is even if it comes after the pool was asked to forget the machine", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    scene.lose(mac);
    scene.pool.orders.unmanage(machineId, epoch(6), scene.now);
    expect(scene.pool.orders.forget(machineId, scene.now)).toBe(false);
    expect(scene.pool.orders.expect(machineId, epoch(5), TERMS, scene.now)).toEqual({ ok: false, stale: 6 });
    scene.advance(61_000);
    expect(scene.pool.orders.forget(machineId, scene.now)).toBe(true);
    expect(scene.records.size).toBe(0);
  });

  it("[H5] takes a machine out of use that served here unmanaged; what runs there may finish", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const running = scene.ask();
    const sent = scene.requestOf(mac);
    scene.pool.orders.expect(mac.connection.identity.machineId, epoch(1), TERMS, scene.now);
    scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.serve(sent, "done");
    expect(running.ended).toBe("finished");
  });

  it("[D1] [D2] outlives the pool's sleep, and the machine is not routable for one moment", () => {
    const { scene, mac } = expected();
    say(scene, mac, "draining");
    const slept = scene.sleep(mac);
    const [again] = slept.machines as [Machine];
    slept.scene.heartbeat(again, { loaded_models: [MODEL] });
    slept.scene.ask();
    expect(slept.scene.requestsOf(again)).toEqual([]);
    say(slept.scene, again, "succeeded");
    slept.scene.ask();
    expect(slept.scene.requestsOf(again)).toHaveLength(1);
  });
});

describe("[H2] the fleet's word on a dial", () => {
  const id = (scene: PoolScene) => scene.dial("mac-1").connection.identity.machineId;

  it("that is older than the record is refused", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    expect(scene.pool.mayConnect(machineId, { mode: "unmanaged", epoch: epoch(4) }, scene.now)).toBe(false);
    expect(modeOf(scene)).toBe("expected");
    expect(scene.pool.mayConnect(machineId, { mode: "managed", epoch: epoch(5) }, scene.now)).toBe(true);
  });

  it("makes no machine routable by being managed", () => {
    const scene = new PoolScene();
    expect(scene.pool.mayConnect(id(scene), { mode: "managed", epoch: epoch(3) }, scene.now)).toBe(true);
    const mac = scene.dial("mac-1");
    scene.register(mac);
    scene.admit(mac, anAdmission({ stamp: { mode: "managed", epoch: epoch(3) } }));
    scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.pool.orders.expect(mac.connection.identity.machineId, epoch(3), TERMS, scene.now);
    expect(modeOf(scene)).toBe("expected");
  });

  it("frees a machine by being newer and unmanaged", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    scene.pool.mayConnect(machineId, { mode: "unmanaged", epoch: epoch(6) }, scene.now);
    scene.heartbeat(mac, { loaded_models: [MODEL] });
    scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("[F2] lifts a release of its own epoch by being unmanaged, and only then", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    scene.pool.orders.release(machineId, epoch(6), scene.now);
    const closesAt = scene.pool.nextDeadlineAt();
    scene.now += 1000;
    scene.pool.mayConnect(machineId, { mode: "released", epoch: epoch(6) }, scene.now);
    expect(scene.pool.nextDeadlineAt()).toBe(closesAt);
    scene.pool.mayConnect(machineId, { mode: "unmanaged", epoch: epoch(6) }, scene.now);
    expect(modeOf(scene)).toBe("unmanaged");
  });

  it("that an order has overtaken closes the socket with 1012", () => {
    const { scene, mac } = expected();
    const again = scene.dial("mac-1");
    scene.register(again);
    scene.admit(again, anAdmission({ stamp: { mode: "unmanaged", epoch: epoch(4) } }));
    expect(again.socket.closed?.reason).toBe("restart");
    expect(mac.socket.closed).toBeNull();
  });
});

describe("[H6] the socket of a released machine", () => {
  /** It has arrived elsewhere, and still owes an answer here. */
  function releasedWhileBusy(): { scene: PoolScene; mac: Machine; sent: Sent } {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const { machineId } = mac.connection.identity;
    scene.ask();
    const sent = scene.requestOf(mac);
    scene.pool.orders.release(machineId, epoch(1), scene.now);
    scene.pool.orders.dismiss(machineId, epoch(1), scene.now);
    return { scene, mac, sent };
  }

  it("stays while something runs on it, then closes with 4002 once the machine has arrived elsewhere", () => {
    const { scene, mac, sent } = releasedWhileBusy();
    expect(mac.socket.closed).toBeNull();
    scene.serve(sent, "done");
    scene.pool.sweep(scene.now);
    expect(mac.socket.closed?.reason).toBe("released");
  });

  it("waits anew for a word of where the machine is when it is ordered here and away again", () => {
    const { scene, mac, sent } = releasedWhileBusy();
    const { machineId } = mac.connection.identity;
    scene.pool.orders.expect(machineId, epoch(2), TERMS, scene.now);
    scene.pool.orders.release(machineId, epoch(3), scene.now);
    scene.pool.orders.dismiss(machineId, epoch(2), scene.now);
    scene.serve(sent, "done");
    scene.pool.sweep(scene.now);
    expect(mac.socket.closed).toBeNull();
  });

  it("closes after 60 s if nobody says so", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.pool.orders.release(mac.connection.identity.machineId, epoch(1), scene.now);
    expect(scene.pool.nextDeadlineAt()).toBe(scene.now + 60_000);
    mac.socket.pongAt = scene.now + 60_000;
    scene.now += 60_000;
    scene.pool.tick(scene.now);
    expect(mac.socket.closed?.reason).toBe("released");
  });
});

it("[H19] a pool that starts again waits for its own machine, and not for one that belongs elsewhere", () => {
  const { scene, mac } = expected();
  say(scene, mac, "succeeded");
  const own = new PoolScene(["mac-1"], scene.now, scene.records);
  expect(own.ask().refusedWith).toBeNull();
  scene.pool.orders.release(mac.connection.identity.machineId, epoch(6), scene.now);
  const left = new PoolScene(["mac-1"], scene.now, scene.records);
  expect(left.ask().refusedWith).toBe("model_unavailable");
});
