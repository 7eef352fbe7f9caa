import { describe, expect, it } from "vitest";

import { DRAIN_TIMEOUT_MS } from "../../../../core/limits.ts";
import type { Admission } from "../../../../core/pool/admission.ts";
import { epochSchema } from "../../../../protocol/ids.ts";
import { anAdmission, PoolScene, type Machine } from "./pool-scene.ts";

/** What becomes of connected providers when the flag `min_provider_version` is raised above them. */

const OLD = { version: "0.6.19" };
const EPOCH = epochSchema.parse(1);
const closed = ({ socket }: Machine): string | undefined => socket.closed?.reason;

function raise(scene: PoolScene, least = "0.6.20"): void {
  scene.flags({ min_provider_version: least });
}

describe("a raised least version", () => {
  it("closes older providers that are idle at once, and those without a version, and no other", () => {
    const scene = new PoolScene();
    const old = [scene.join("mac-1", OLD), scene.join("mac-2", { version: undefined })];
    const good = scene.join("mac-3", { version: "0.6.20" });
    raise(scene);
    expect([...old, good].map(closed)).toEqual(["tooOld", "tooOld", undefined]);
    expect([...scene.remembered]).toEqual(["mac-3"]);
    // Nothing is left to wake the pool for.
    expect(scene.pool.nextDeadlineAt()).toBeNull();
  });

  it("lets answers end that are under way, gives nothing new, and closes after the last", () => {
    const scene = new PoolScene();
    const old = scene.join("mac-1", OLD);
    const [first, second] = [scene.ask(), scene.ask()];
    const [one, two] = scene.requestsOf(old);
    if (one === undefined || two === undefined) throw new Error("both were to be sent");
    scene.accept(one);
    scene.bytes(one, "begun");
    raise(scene);
    scene.heartbeat(old, { running: 2 });
    const good = scene.join("mac-2");
    const third = scene.ask();
    scene.serve(scene.requestOf(good), "new");
    expect(scene.requestsOf(old)).toEqual([]);
    expect(scene.pool.report(scene.now, 4).machines[0]).toMatchObject({ blockedBy: "outdated", inFlight: 2 });

    scene.finish(one);
    scene.advance(1000, old, good);
    expect(closed(old)).toBeUndefined();
    scene.serve(two, "whole");
    // While the pool has nothing else to do, only its alarm calls.
    expect(scene.pool.nextDeadlineAt()).toBeLessThanOrEqual(scene.now);
    scene.pool.tick(scene.now);
    expect(closed(old)).toBe("tooOld");
    expect([first, second, third].map(({ text }) => text)).toEqual(["begun", "whole", "new"]);
    expect([first, second, third].map(({ ended }) => ended)).toEqual(["finished", "finished", "finished"]);
    expect(scene.pool.nextDeadlineAt()).toBeNull();
  });

  it("[F5] closes them after the time of a drain at the latest: what has no byte goes to one that stays", () => {
    const scene = new PoolScene();
    const old = [scene.join("mac-1", OLD), scene.join("mac-2", OLD)] as const;
    const clients = [scene.ask(), scene.ask()] as const;
    const [begun, waiting] = [scene.requestOf(old[0]), scene.requestOf(old[1])];
    for (const sent of [begun, waiting]) scene.accept(sent);
    scene.bytes(begun, "begun");
    raise(scene);
    const good = scene.join("mac-3");
    const deadlineAt = scene.now + DRAIN_TIMEOUT_MS;
    expect(scene.pool.nextDeadlineAt()).toBe(deadlineAt);
    // Another change of flags gives them no more time.
    scene.advance(1000, ...old, good);
    raise(scene, "0.6.21");
    expect(scene.pool.nextDeadlineAt()).toBe(deadlineAt);
    scene.advance(DRAIN_TIMEOUT_MS - 1001, ...old, good);
    expect(old.map(closed)).toEqual([undefined, undefined]);
    scene.advance(1, ...old, good);
    expect(old.map(closed)).toEqual(["tooOld", "tooOld"]);
    expect(clients[0].brokenWith).toBe("provider_error");
    scene.serve(scene.requestOf(good), "elsewhere");
    expect(clients[1]).toMatchObject({ content: "elsewhere", ended: "finished" });
  });

  it("that is lowered again takes them back", () => {
    const scene = new PoolScene();
    const old = scene.join("mac-1", { ...OLD, max_concurrency: 2 });
    scene.ask();
    const running = scene.requestOf(old);
    raise(scene);
    raise(scene, "none");
    scene.ask();
    for (const sent of [running, scene.requestOf(old)]) scene.serve(sent, "served");
    scene.advance(DRAIN_TIMEOUT_MS, old);
    expect(closed(old)).toBeUndefined();
    expect(scene.pool.nextDeadlineAt()).toBeNull();
  });

  it("gives them nothing of their owner either, who hears to look at the provider", () => {
    const scene = new PoolScene();
    const old = scene.join("mac-1", OLD);
    scene.ask();
    scene.requestOf(old);
    raise(scene);
    const owner = { otherwise: "wait", machines: new Set(["mac-1"]), isSwitching: false } as const;
    const client = scene.ask({ owner });
    scene.advance(7000, old);
    expect(client.refusedWith).toBe("machine_offline");
    expect(scene.requestsOf(old)).toEqual([]);
  });

  it("is not forgotten when the pool is reset under them", () => {
    const scene = new PoolScene();
    const old = scene.join("mac-1", OLD);
    scene.ask();
    raise(scene);
    const after = scene.sleep(old);
    expect(after.scene.pool.nextDeadlineAt()).toBeLessThanOrEqual(scene.now);
    after.scene.pool.tick(scene.now);
    expect(after.machines.map(closed)).toEqual(["tooOld"]);
  });

  it("makes nobody wait for one to come back that was lost meanwhile", () => {
    const scene = new PoolScene();
    const old = scene.join("mac-1", OLD);
    scene.ask();
    raise(scene);
    scene.lose(old);
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
  });

  it("refuses a register at once that was admitted before, and leaves the machine's older socket its requests", () => {
    const scene = new PoolScene();
    const older = scene.join("mac-1", OLD);
    const client = scene.ask();
    const sent = scene.requestOf(older);
    const newer = scene.dial("mac-1");
    scene.register(newer, OLD);
    raise(scene);
    scene.admit(newer, anAdmission());
    expect([older, newer].map(closed)).toEqual([undefined, "tooOld"]);
    scene.serve(sent, "whole");
    expect(client).toMatchObject({ text: "whole", ended: "finished" });
  });

  it.each<[string, Admission]>([
    ["refuses it", { admitted: false, close: "tooOld" }],
    ["admits it by older flags", anAdmission({ stamp: { mode: "managed", epoch: EPOCH } })],
  ])(
    "[H19] lets a machine finish that went in while the fleet was silent, if the fleet then %s",
    (_, word) => {
      const scene = new PoolScene();
      const terms = { drainMs: 30_000, loadMs: 180_000, publicKey: "k" };
      const old = scene.dial("mac-1");
      scene.pool.orders.expect(old.connection.identity.machineId, EPOCH, terms, scene.now);
      scene.register(old, { ...OLD, assignment: { model_id: "m", epoch: 1 } });
      scene.admit(old, anAdmission({ stamp: { mode: "managed", epoch: EPOCH } }));
      scene.say(old, { type: "assign_model_status", model_id: "m", epoch: 1, status: "succeeded" });
      const again = scene.dial("mac-1");
      scene.register(again, { ...OLD, assignment: { model_id: "m", epoch: 1 } });
      scene.pool.fleetSilent(again.connection, scene.now);
      const client = scene.ask();
      const sent = scene.requestOf(again);
      raise(scene);
      scene.admit(again, word);
      expect(closed(again)).toBeUndefined();
      scene.serve(sent, "whole");
      scene.pool.tick(scene.now);
      expect(client.text).toBe("whole");
      expect(closed(again)).toBe("tooOld");
    },
  );
});
