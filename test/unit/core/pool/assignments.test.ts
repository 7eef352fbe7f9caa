import { describe, expect, it } from "vitest";

import { RECORD_GRACE_MS } from "../../../../core/limits.ts";
import { INITIAL_SETTINGS } from "../../../../core/pool/settings.ts";
import { epochSchema, machineIdSchema, modelIdSchema } from "../../../../protocol/ids.ts";
import { anAdmission, MODEL, PoolScene, type Machine } from "./pool-scene.ts";

const TERMS = { drainMs: 30_000, loadMs: 180_000, publicKey: "k" };
const e = (n: number) => epochSchema.parse(n);
const ORDER = {
  type: "assign_model" as const,
  model_id: MODEL,
  pools: [MODEL],
  reason: "pinned",
  drain_ms: 30_000,
  load_ms: 180_000,
};
const other = modelIdSchema.parse("other");

/** A machine that is here and has been ordered to this pool at epoch 5. */
function expected(fields: object = {}): { scene: PoolScene; mac: Machine } {
  const scene = new PoolScene();
  const mac = scene.join("mac-1", { loaded_models: [], ...fields });
  scene.pool.expect(mac.connection.identity.machineId, e(5), TERMS, scene.now);
  return { scene, mac };
}

const say = (scene: PoolScene, mac: Machine, word: string, fields: object = {}) =>
  scene.say(mac, { type: "assign_model_status", model_id: "m", epoch: 5, status: word, ...fields });

const modeOf = (scene: PoolScene) => scene.records.get("mac-1")?.mode;

describe("a status", () => {
  it.each([
    ["another epoch", { epoch: 4 }],
    ["a higher epoch", { epoch: 6 }],
    ["another model", { model_id: "other" }],
  ])("[F3] of %s changes nothing at all", (_, fields) => {
    const { scene, mac } = expected();
    const before = structuredClone(scene.records);
    const client = scene.ask();
    for (const word of ["draining", "loading", "succeeded", "failed"]) say(scene, mac, word, fields);
    expect(scene.records).toEqual(before);
    expect(scene.requestsOf(mac)).toEqual([]);
    expect(client.ended).not.toBe("finished");
    expect(scene.pool.report(scene.now, 4).ignored.statuses).toBe(4);
  });

  it("[F3] of the epoch at which the machine was let go changes nothing", () => {
    const { scene, mac } = expected();
    scene.pool.release(mac.connection.identity.machineId, e(6), scene.now);
    for (const word of ["loading", "succeeded", "failed"]) say(scene, mac, word, { epoch: 6 });
    expect(modeOf(scene)).toBe("released");
  });

  it("[F3] of a machine that was never managed changes nothing", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    say(scene, mac, "failed");
    expect(scene.records.size).toBe(0);
    scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("[C1] [F11] `succeeded` makes the machine routable at once, without a heartbeat", () => {
    const { scene, mac } = expected({ loaded_models: ["other"] });
    say(scene, mac, "draining");
    say(scene, mac, "loading", { progress: 0.4 });
    expect(scene.pool.report(scene.now, 4).machines[0]).toMatchObject({
      blockedBy: "loading",
      loadedModels: ["other"],
      record: { progress: 0.4 },
    });
    say(scene, mac, "loading", { progress: 0.7 });
    expect(scene.pool.report(scene.now, 4).machines[0]).toMatchObject({ record: { progress: 0.7 } });
    say(scene, mac, "succeeded");
    expect(scene.pool.report(scene.now, 4).machines[0]).toMatchObject({
      blockedBy: null,
      loadedModels: ["m"],
    });
    expect(mac.socket.saved?.registration?.loadedModels).toEqual(["m"]);
    scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("[D7] that is late or repeated does no harm", () => {
    const { scene, mac } = expected();
    for (const word of ["succeeded", "loading", "draining", "succeeded"]) {
      say(scene, mac, word);
      expect(modeOf(scene)).toBe("assigned");
    }
    say(scene, mac, "failed", { error: { code: "load_failed", message: "no" } });
    for (const word of ["loading", "succeeded"]) say(scene, mac, word);
    expect(modeOf(scene)).toBe("failed");
    expect(scene.pool.report(scene.now, 4).ignored.statuses).toBe(4);
  });

  it.each([
    ["what the machine says", { code: "load_failed", message: "no memory" }],
    ["that it says nothing", undefined],
  ])("of a failure passes on %s", (_, error) => {
    const { scene, mac } = expected();
    say(scene, mac, "failed", { error });
    const told = error ?? { code: "load_failed", message: "the machine gave no reason" };
    expect(scene.news.at(-1)).toMatchObject({ kind: "record", record: { mode: "failed", error: told } });
  });
});

it("[H3] the fleet is told of each step that a machine makes, with what its load took, and of none that is its own", () => {
  const { scene, mac } = expected();
  const { machineId } = mac.connection.identity;
  scene.now += 1000;
  say(scene, mac, "draining");
  scene.now += 1000;
  say(scene, mac, "loading");
  scene.now += 5000;
  say(scene, mac, "succeeded");
  scene.pool.release(machineId, e(6), scene.now);
  scene.pool.unmanage(machineId, e(7), scene.now);
  scene.pool.expect(machineId, e(8), TERMS, scene.now);
  say(scene, mac, "succeeded", { epoch: 8 });
  say(scene, mac, "failed", { epoch: 8 });
  const told = scene.news.map((news) =>
    news.kind === "record" ? [news.record.mode, news.loadMs] : news.kind,
  );
  expect(told).toEqual([
    ["draining", null],
    ["loading", null],
    ["assigned", 5000],
    ["assigned", null],
    ["failed", null],
  ]);
  expect(scene.news).toMatchObject(told.map(() => ({ machineId })));
});

describe("a heartbeat", () => {
  const held = { model_id: "m", epoch: 5 };

  it("[H9] that names another assignment than before is told the fleet, once", () => {
    const { scene, mac } = expected();
    const heldNews = () => scene.news.splice(0).filter(({ kind }) => kind === "holds");
    for (const assignment of [null, held, held, null]) scene.heartbeat(mac, { assignment });
    expect(heldNews()).toEqual([{ kind: "holds", machineId: "mac-1", held }]);
    scene.heartbeat(mac, { assignment: { ...held, model_id: "other" } });
    expect(heldNews()).toHaveLength(1);
  });

  it("[D8] [H15] makes a lost status good, if it names the record's model and epoch and only that model is loaded", () => {
    const { scene, mac } = expected();
    scene.heartbeat(mac, { assignment: { model_id: "m", epoch: 4 } });
    scene.heartbeat(mac, { assignment: null });
    scene.heartbeat(mac, { assignment: held, loaded_models: [MODEL, other] });
    scene.heartbeat(mac, { assignment: held, loaded_models: [] });
    scene.heartbeat(mac, { assignment: held, loaded_models: [other] });
    expect(modeOf(scene)).toBe("expected");
    scene.heartbeat(mac, { assignment: held });
    expect(modeOf(scene)).toBe("assigned");
  });

  it("[H15] does not lead out of `failed`", () => {
    const { scene, mac } = expected();
    say(scene, mac, "failed");
    scene.heartbeat(mac, { assignment: held });
    expect(modeOf(scene)).toBe("failed");
  });

  it("[H14] that shows the model gone takes the machine out of service until it is back", () => {
    const { scene, mac } = expected();
    say(scene, mac, "succeeded");
    scene.heartbeat(mac, { assignment: held, loaded_models: [] });
    expect(scene.pool.report(scene.now, 4).machines[0]?.blockedBy).toBe("loading");
    scene.heartbeat(mac, { assignment: held });
    expect(modeOf(scene)).toBe("assigned");
  });
});

describe("[H14] the register of an assigned machine", () => {
  it.each([
    ["with exactly its model in memory changes nothing", [MODEL], "assigned", null],
    ["with nothing in memory means a load", [], "loading", 180_000],
    ["with another model in memory means a load", [other], "loading", 180_000],
    ["with another beside its own means a load", [MODEL, other], "loading", 180_000],
  ])("%s", (_, loaded_models, mode, deadlineMs) => {
    const { scene, mac } = expected();
    say(scene, mac, "succeeded");
    scene.lose(mac);
    const back = scene.dial("mac-1");
    scene.register(back, { loaded_models });
    scene.admit(back, anAdmission({ stamp: { mode: "managed", epoch: e(5) } }));
    expect(modeOf(scene)).toBe(mode);
    expect(scene.records.get("mac-1")?.deadlineAt).toBe(deadlineMs === null ? null : scene.now + deadlineMs);
  });
});

describe("an order of the fleet", () => {
  it("[H4] counts only under a newer epoch, and is answered again under the same", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    say(scene, mac, "succeeded");
    expect(scene.pool.expect(machineId, e(5), TERMS, scene.now)).toEqual({
      ok: true,
      mode: "assigned",
      epoch: 5,
    });
    expect(scene.pool.release(machineId, e(4), scene.now)).toEqual({ ok: false, stale: 5 });
    expect(modeOf(scene)).toBe("assigned");
    expect(scene.pool.release(machineId, e(6), scene.now)).toMatchObject({ ok: true, mode: "released" });
    expect(scene.pool.unmanage(machineId, e(5), scene.now)).toEqual({ ok: false, stale: 6 });
  });

  it("[H6] [C16] is passed on to the machine, if it is here and the pool knows none that is newer", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    const passOn = (at: number) => scene.pool.order(machineId, { ...ORDER, epoch: e(at) });
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
    scene.pool.release(machineId, e(6), scene.now);
    const closesAt = scene.pool.nextDeadlineAt();
    scene.now += 30_000;
    expect(scene.pool.release(machineId, e(6), scene.now)).toEqual({ ok: true, mode: "released", epoch: 6 });
    expect(scene.pool.nextDeadlineAt()).toBe(closesAt);
  });

  it("is about its machine and no other", () => {
    const scene = new PoolScene();
    const [one, two] = [scene.join("mac-1"), scene.join("mac-2")];
    scene.pool.release(one.connection.identity.machineId, e(1), scene.now);
    scene.ask();
    expect(scene.requestsOf(two)).toHaveLength(1);
  });

  it("[H1] to forget a machine is obeyed at once if the pool has never heard of it, and never if it belongs here", () => {
    const { scene, mac } = expected();
    scene.lose(mac);
    // It fails on the way, which begins the time anew.
    scene.advance(2 * RECORD_GRACE_MS + 1);
    expect(scene.pool.forget(mac.connection.identity.machineId, scene.now)).toBe(false);
    expect(scene.pool.forget(machineIdSchema.parse("mac-9"), scene.now)).toBe(true);
  });

  it("[H4] of an older epoch is known for what it is even if it comes after the pool was asked to forget the machine", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    scene.lose(mac);
    scene.pool.unmanage(machineId, e(6), scene.now);
    expect(scene.pool.forget(machineId, scene.now)).toBe(false);
    expect(scene.pool.expect(machineId, e(5), TERMS, scene.now)).toEqual({ ok: false, stale: 6 });
    scene.advance(61_000);
    expect(scene.pool.forget(machineId, scene.now)).toBe(true);
    expect(scene.records.size).toBe(0);
  });

  it("[H5] takes a machine out of use that served here unmanaged; what runs there may finish", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const running = scene.ask();
    const sent = scene.requestOf(mac);
    scene.pool.expect(mac.connection.identity.machineId, e(1), TERMS, scene.now);
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
    expect(scene.pool.mayConnect(machineId, { mode: "unmanaged", epoch: e(4) }, scene.now)).toBe(false);
    expect(modeOf(scene)).toBe("expected");
    expect(scene.pool.mayConnect(machineId, { mode: "managed", epoch: e(5) }, scene.now)).toBe(true);
  });

  it("makes no machine routable by being managed", () => {
    const scene = new PoolScene();
    expect(scene.pool.mayConnect(id(scene), { mode: "managed", epoch: e(3) }, scene.now)).toBe(true);
    const mac = scene.dial("mac-1");
    scene.register(mac);
    scene.admit(mac, anAdmission({ stamp: { mode: "managed", epoch: e(3) } }));
    scene.ask();
    expect(scene.requestsOf(mac)).toEqual([]);
    scene.pool.expect(mac.connection.identity.machineId, e(3), TERMS, scene.now);
    expect(modeOf(scene)).toBe("expected");
  });

  it("frees a machine by being newer and unmanaged", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    scene.pool.mayConnect(machineId, { mode: "unmanaged", epoch: e(6) }, scene.now);
    scene.heartbeat(mac, { loaded_models: [MODEL] });
    scene.ask();
    expect(scene.requestsOf(mac)).toHaveLength(1);
  });

  it("[F2] lifts a release of its own epoch by being unmanaged, and only then", () => {
    const { scene, mac } = expected();
    const { machineId } = mac.connection.identity;
    scene.pool.release(machineId, e(6), scene.now);
    const closesAt = scene.pool.nextDeadlineAt();
    scene.now += 1000;
    scene.pool.mayConnect(machineId, { mode: "released", epoch: e(6) }, scene.now);
    expect(scene.pool.nextDeadlineAt()).toBe(closesAt);
    scene.pool.mayConnect(machineId, { mode: "unmanaged", epoch: e(6) }, scene.now);
    expect(modeOf(scene)).toBe("unmanaged");
  });

  it("that an order has overtaken closes the socket with 1012", () => {
    const { scene, mac } = expected();
    const again = scene.dial("mac-1");
    scene.register(again);
    scene.admit(again, anAdmission({ stamp: { mode: "unmanaged", epoch: e(4) } }));
    expect(again.socket.closed?.reason).toBe("restart");
    expect(mac.socket.closed).toBeNull();
  });
});

describe("[D6] [H13] the deadline", () => {
  it.each([
    ["expected", [], 60_000],
    ["draining", ["draining"], 70_000],
    ["loading", ["loading"], 180_000],
  ])("of %s ends the assignment, connected or not", (mode, words, ms) => {
    const { scene, mac } = expected();
    for (const word of words) say(scene, mac, word);
    scene.lose(mac);
    expect(scene.pool.nextDeadlineAt()).toBe(scene.now + ms);
    scene.now += ms - 1;
    scene.pool.tick(scene.now);
    expect(modeOf(scene)).not.toBe("failed");
    scene.now += 1;
    scene.pool.tick(scene.now);
    expect(modeOf(scene)).toBe("failed");
    const error = { code: "deadline", message: `still ${mode} after ${ms / 1000} s` };
    expect(scene.news.at(-1)).toMatchObject({ record: { mode: "failed", error } });
  });

  it("that comes first is the pool's, whichever machine it is of", () => {
    const scene = new PoolScene();
    const [one, two] = [scene.join("mac-1"), scene.join("mac-2")];
    for (const { connection } of [one, two]) {
      scene.pool.expect(connection.identity.machineId, e(1), TERMS, scene.now);
    }
    say(scene, two, "loading", { epoch: 1 });
    expect(scene.pool.nextDeadlineAt()).toBe(scene.now + 60_000);
    say(scene, one, "loading", { epoch: 1 });
    expect(scene.pool.nextDeadlineAt()).toBe(scene.now + 180_000);
    say(scene, two, "succeeded", { epoch: 1 });
    expect(scene.pool.nextDeadlineAt()).toBe(scene.now + 180_000);
  });

  it("of a load is not put off by progress", () => {
    const { scene, mac } = expected();
    say(scene, mac, "loading");
    const due = scene.pool.nextDeadlineAt();
    scene.now += 100_000;
    say(scene, mac, "loading", { progress: 0.9 });
    expect(scene.pool.nextDeadlineAt()).toBe(due);
  });
});

describe("[H6] the socket of a released machine", () => {
  it("stays while something runs on it, then closes with 4002 once the machine has arrived elsewhere", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const { machineId } = mac.connection.identity;
    scene.ask();
    const sent = scene.requestOf(mac);
    scene.pool.release(machineId, e(1), scene.now);
    scene.pool.dismiss(machineId, e(1), scene.now);
    expect(mac.socket.closed).toBeNull();
    scene.serve(sent, "done");
    scene.pool.sweep(scene.now);
    expect(mac.socket.closed?.reason).toBe("released");
  });

  it("waits anew for a word of where the machine is when it is ordered here and away again", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    const { machineId } = mac.connection.identity;
    scene.ask();
    const sent = scene.requestOf(mac);
    scene.pool.release(machineId, e(1), scene.now);
    scene.pool.dismiss(machineId, e(1), scene.now);
    scene.pool.expect(machineId, e(2), TERMS, scene.now);
    scene.pool.release(machineId, e(3), scene.now);
    scene.pool.dismiss(machineId, e(2), scene.now);
    scene.serve(sent, "done");
    scene.pool.sweep(scene.now);
    expect(mac.socket.closed).toBeNull();
  });

  it("closes after 60 s if nobody says so", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.pool.release(mac.connection.identity.machineId, e(1), scene.now);
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
  scene.pool.release(mac.connection.identity.machineId, e(6), scene.now);
  const left = new PoolScene(["mac-1"], scene.now, scene.records);
  expect(left.ask().refusedWith).toBe("model_unavailable");
});

describe("[F5] [H16] the end of a drain", () => {
  it("ends a stream that has begun with an error event that names the cause, and blames nobody", () => {
    const scene = new PoolScene();
    const [one, two] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    const [sent] = [...scene.requestsOf(one), ...scene.requestsOf(two)];
    if (sent === undefined) throw new Error("nobody was asked");
    scene.accept(sent);
    scene.bytes(sent, "half");
    scene.error(sent, "capacity", "switching_model");
    expect(client.ended).toMatchObject({ broken: { message: expect.stringContaining("switching_model") } });
    expect([...scene.requestsOf(one), ...scene.requestsOf(two)]).toEqual([]);
  });

  it("sends one without a byte to another machine", () => {
    const scene = new PoolScene();
    const [one, two] = [scene.join("mac-1"), scene.join("mac-2")];
    const client = scene.ask();
    const [sent] = [...scene.requestsOf(one), ...scene.requestsOf(two)];
    if (sent === undefined) throw new Error("nobody was asked");
    scene.accept(sent);
    scene.error(sent, "capacity", "switching_model");
    const [again] = [...scene.requestsOf(one), ...scene.requestsOf(two)];
    if (again === undefined) throw new Error("it was not tried again");
    scene.serve(again, "whole");
    expect(client.ended).toBe("finished");
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

describe("[C3] [C4] [H23] a pool without a routable machine", () => {
  const exhausted = (supply: { have: number; couldHold: number; at: number }) => {
    const scene = new PoolScene();
    scene.join("mac-1", { private_only: true });
    const flags = { pool_exhausted_429: "on", queue_max: 32, queue_wait_ms: 6000 } as const;
    const settings = { version: 1, flags: { ...INITIAL_SETTINGS.flags, ...flags }, supply };
    scene.pool.configure(settings, scene.now);
    return scene;
  };

  it("is exhausted if some machine could hold the model", () => {
    const scene = exhausted({ have: 0, couldHold: 1, at: 1_000_000 });
    expect(scene.ask().refusedWith).toBe("pool_exhausted");
    expect(scene.outcomes()).toEqual({ pool_exhausted: 1 });
  });

  it("[C5] is unavailable only by a fresh word of the fleet", () => {
    expect(exhausted({ have: 0, couldHold: 0, at: 1_000_000 }).ask().refusedWith).toBe("model_unavailable");
    expect(exhausted({ have: 0, couldHold: 0, at: 600_000 }).ask().refusedWith).toBe("pool_exhausted");
  });

  it("asks the fleet once if it has never seen a machine, and the request waits for the answer", () => {
    const scene = new PoolScene();
    const flags = { pool_exhausted_429: "on", queue_max: 32, queue_wait_ms: 6000 } as const;
    const settings = { version: 1, flags: { ...INITIAL_SETTINGS.flags, ...flags } };
    scene.pool.configure({ ...settings, supply: { have: 0, couldHold: 0, at: 0 } }, scene.now);
    const [one, two] = [scene.ask(), scene.ask()];
    expect(scene.supplyQuestions).toBe(1);
    expect([one.refusedWith, two.refusedWith]).toEqual([null, null]);
    scene.pool.configure({ ...settings, supply: { have: 0, couldHold: 0, at: scene.now } }, scene.now);
    expect([one.refusedWith, two.refusedWith]).toEqual(["model_unavailable", "model_unavailable"]);
  });

  it("keeps no more waiting for that answer than may wait in line", () => {
    const scene = new PoolScene();
    const flags = { ...INITIAL_SETTINGS.flags, pool_exhausted_429: "on", queue_max: 2 } as const;
    scene.pool.configure({ version: 1, flags, supply: { have: 0, couldHold: 0, at: 0 } }, scene.now);
    const asked = Array.from({ length: 4 }, () => scene.ask().refusedWith);
    expect(asked).toEqual([null, null, "pool_exhausted", "pool_exhausted"]);
  });
});
