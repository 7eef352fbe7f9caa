import { describe, expect, it } from "vitest";

import { modelIdSchema } from "../../../../protocol/ids.ts";
import { epoch, expected, modeOf, say, TERMS } from "./assigned-scene.ts";
import { anAdmission, MODEL, PoolScene } from "./pool-scene.ts";

/** What a machine says of its switch, and what becomes of its record by that or by the time it takes. */

const other = modelIdSchema.parse("other");

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
    scene.pool.orders.release(mac.connection.identity.machineId, epoch(6), scene.now);
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
  scene.pool.orders.release(machineId, epoch(6), scene.now);
  scene.pool.orders.unmanage(machineId, epoch(7), scene.now);
  scene.pool.orders.expect(machineId, epoch(8), TERMS, scene.now);
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
    scene.admit(back, anAdmission({ stamp: { mode: "managed", epoch: epoch(5) } }));
    expect(modeOf(scene)).toBe(mode);
    expect(scene.records.get("mac-1")?.deadlineAt).toBe(deadlineMs === null ? null : scene.now + deadlineMs);
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
      scene.pool.orders.expect(connection.identity.machineId, epoch(1), TERMS, scene.now);
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
