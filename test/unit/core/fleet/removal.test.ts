import { describe, expect, it } from "vitest";

import { DELETED_MACHINES_KEPT } from "../../../../core/limits.ts";
import type { PoolCall } from "../../../../core/pool/calls.ts";
import type { PoolMachineReport, PoolReport } from "../../../../core/pool/report.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { A, aMachineReport, aReport, B, epoch, FleetScene, MAC, START_AT, type Made } from "./fleet-scene.ts";

const record = (mode: "assigned" | "unmanaged" | "released", at: number) =>
  ({ mode, epoch: at, since: 0, progress: 0, error: null }) as const;
const offline = (fields: Partial<PoolMachineReport> = {}): PoolMachineReport =>
  aMachineReport({ isConnected: false, ...fields });

/** A machine that served b under epoch 1 and whose sockets have been gone for long. */
function gone(): FleetScene {
  const scene = new FleetScene();
  scene.join(A, B);
  scene.core.orders.pin(MAC, B, scene.now);
  scene.confirmAll();
  scene.observe(B, "assigned", 1);
  scene.now += 60_001;
  scene.calls();
  return scene;
}

type Reports = Readonly<Record<string, readonly PoolMachineReport[]>>;

const AWAY: Reports = { a: [], b: [offline({ record: record("assigned", 1) })] };

/** An operator deletes it; its pools report what the test says, and those that are not named do not answer. */
function remove(scene: FleetScene, reports: Reports = AWAY): ReturnType<FleetScene["core"]["remove"]> {
  const askedAt = scene.now;
  scene.tick(0, reports);
  scene.calls();
  return scene.core.remove(MAC, askedAt, scene.now);
}

function answer(scene: FleetScene, call: PoolCall, report: PoolReport): void {
  scene.core.replied(report.model, call, { kind: "report", report, totals: null }, scene.now);
}

describe("a machine that is gone", () => {
  it("[H22] is deleted and known no more, with its model, its cooldowns and its load times", () => {
    const scene = gone();
    scene.plans.saveLoadTime({ machineId: MAC, model: B, seconds: 9 });
    scene.restart();
    scene.core.handover.begin({ machineId: MAC, model: A, reason: "", isPinned: true }, scene.now);
    scene.confirmAll();
    scene.observe(A, "failed", 2);
    expect(scene.store.cooldowns()).toHaveLength(1);
    scene.now += 60_001;
    expect(remove(scene, { a: [offline()], b: [offline()] })).toBeNull();
    expect(scene.core.directory.get(MAC)).toBeNull();
    expect([...scene.core.view(scene.now).machines]).toEqual([]);
    expect(scene.store.cooldowns()).toEqual([]);
    expect(scene.plans.loadTimes()).toEqual([]);
    expect(scene.core.placement.loadTimes.expected(() => 30)(MAC, B, 30)).toBe(30);
    scene.restart();
    expect(scene.core.directory.get(MAC)).toBeNull();
    expect(remove(scene)).toMatchObject({ code: "not_found" });
  });

  it("[H17] [H3] is released like any other: its own pool first, and each until it has answered", () => {
    const scene = gone();
    expect(remove(scene)).toBeNull();
    expect(scene.core.intents.get(MAC)).toMatchObject({ epoch: 2, model: null, phase: "releasing" });
    const [first, ...others] = scene.calls();
    expect(others).toEqual([]);
    expect(first).toMatchObject({ pool: B, call: { kind: "unmanage", epoch: 2 } });
    scene.restart();
    scene.now += 30_000;
    scene.core.retry(scene.now);
    const [again] = scene.calls();
    expect(again).toMatchObject({ pool: B, call: { kind: "unmanage", epoch: 2 } });
    scene.confirm(again as Made);
    expect(scene.callNames()).toEqual(["unmanage a"]);
  });

  it("[H1] leaves the memberships only when its pools have neither a socket nor a record of it", () => {
    const scene = gone();
    remove(scene);
    expect(scene.core.memberships.of(MAC)).toEqual([A, B]);
    scene.confirmAll();
    scene.tick(61_000, { a: [], b: [offline({ record: record("unmanaged", 2) })] });
    const forget = scene.calls().filter(({ call }) => call.kind === "forget");
    expect(forget.map(({ pool }) => pool)).toEqual([A, B]);
    const [{ pool, call }] = forget as [Made];
    scene.core.replied(pool, call, { kind: "told", reached: false }, scene.now);
    expect(scene.core.memberships.of(MAC)).toEqual([A, B]);
    for (const made of forget) scene.confirm(made);
    expect(scene.core.memberships.of(MAC)).toEqual([]);
    scene.now += 60_000;
    scene.core.retry(scene.now);
    expect(scene.callNames()).toEqual([]);
    expect(scene.core.nextWakeAt()).toBeNull();
  });

  it("is deleted also if it was never managed, or has no pool left", () => {
    const scene = new FleetScene();
    scene.join(A);
    scene.now += 60_001;
    expect(remove(scene, { a: [] })).toBeNull();
    expect(scene.core.intents.get(MAC)).toBeNull();
    const other = new FleetScene();
    other.join(A);
    other.core.memberships.remove(MAC, A);
    other.now += 60_001;
    expect(other.core.remove(MAC, other.now, other.now)).toBeNull();
  });
});

describe("a report that comes late", () => {
  it("[H22] counts as of its own question, although its pool has been asked again since", () => {
    const scene = gone();
    const early = scene.core.readCall(B, scene.now);
    scene.now += 1;
    const askedAt = scene.now;
    answer(scene, scene.core.readCall(A, scene.now), aReport(A, []));
    scene.core.readCall(B, scene.now);
    answer(scene, early, aReport(B, []));
    expect(scene.core.remove(MAC, askedAt, scene.now)).toMatchObject({ code: "try_again" });
  });

  it("does not stand for a newer one", () => {
    const scene = gone();
    const early = scene.core.readCall(B, scene.now);
    scene.now += 1;
    answer(scene, scene.core.readCall(B, scene.now), aReport(B, [aMachineReport()]));
    answer(scene, early, aReport(B, []));
    expect(scene.core.view(scene.now).reports.get(B)?.machines).toHaveLength(1);
  });
});

describe("a machine that comes back after it was deleted", () => {
  it("[H22] is new, also to another owner with another key", () => {
    const scene = gone();
    scene.core.cordons.set(MAC, true, scene.now);
    remove(scene);
    scene.confirmAll();
    expect(scene.dial(A, "heir")).toMatchObject({ ok: true, pool: A });
    const identity = { machineId: MAC, owner: "heir", tokenId: "t", acceptedAt: scene.now };
    expect(scene.register(A, { public_key: "another" })).toMatchObject({ admitted: true });
    expect(scene.core.directory.get(MAC)).toMatchObject({
      publicKey: "another",
      firstRegisteredAt: scene.now,
      isQuarantined: false,
      cordonedAt: null,
      uncordonedAt: null,
    });
    expect(scene.dial(A, identity.owner)).toMatchObject({ error: { code: "machine_not_allowed" } });
  });

  it("[H9] [F6] is told its release and gets higher epochs than before, whatever it remembers", () => {
    for (const held of [{ model_id: B, epoch: epoch(1) }, null]) {
      const scene = gone();
      remove(scene);
      scene.confirmAll();
      scene.restart();
      expect(scene.dial(A)).toMatchObject({ pool: A, stamp: { mode: "unmanaged", epoch: 2 } });
      expect(scene.register(A, { assignment: held })).toMatchObject({
        pools: [A, B],
        assignment: { model_id: null, epoch: 2 },
        stamp: { mode: "unmanaged", epoch: 2 },
      });
      expect(scene.core.orders.pin(MAC, A, scene.now)).toMatchObject({ ok: true, epoch: 3 });
    }
  });

  it("[H2] is kept out of use where its old pool has not let go yet", () => {
    const scene = gone();
    remove(scene);
    expect(scene.dial(B)).toMatchObject({ pool: B, stamp: { mode: "released", epoch: 2 } });
    expect(scene.register(B)).toMatchObject({ stamp: { mode: "released", epoch: 2 } });
  });

  it("[C16] [H14] with a version that knows no orders is sent none", () => {
    const scene = gone();
    remove(scene);
    scene.confirmAll();
    scene.dial(A);
    scene.register(A, { version: "0.1.0" });
    scene.now += 60_000;
    scene.core.retry(scene.now);
    expect(scene.calls().filter(({ call }) => call.kind === "order")).toEqual([]);
    expect(scene.core.intents.get(MAC)).toMatchObject({ model: null, phase: "done" });
  });

  it("[H9] has its epochs outdone if even its newest order was dropped", () => {
    const scene = gone();
    remove(scene);
    scene.confirmAll();
    for (const pool of [A, B]) scene.core.memberships.remove(MAC, pool);
    scene.now += 1;
    for (let n = 0; n <= DELETED_MACHINES_KEPT; n++) {
      const machineId = machineIdSchema.parse(`other-${n}`);
      scene.core.handover.begin({ machineId, model: null, reason: "", isPinned: false }, scene.now);
    }
    const known = machineIdSchema.parse("known");
    scene.core.handover.begin({ machineId: known, model: null, reason: "", isPinned: false }, START_AT);
    scene.core.intents.forgetOldest((id) => id === known);
    expect([...scene.core.intents.all()]).toHaveLength(DELETED_MACHINES_KEPT + 1);
    expect(scene.core.intents.get(known)).not.toBeNull();
    scene.restart();
    expect(scene.core.intents.get(MAC)).toBeNull();
    scene.dial(A);
    scene.register(A, { assignment: { model_id: B, epoch: epoch(1) } });
    expect(scene.core.intents.get(MAC)).toMatchObject({ model: null, epoch: 2 });
  });
});

describe("a machine is not deleted", () => {
  const refused = (scene: FleetScene, reports: Reports, code: string, word: string): void => {
    const before = scene.core.intents.get(MAC);
    const error = remove(scene, reports);
    expect(error).toMatchObject({ code, message: expect.stringContaining(word) });
    expect(scene.core.directory.get(MAC)).not.toBeNull();
    expect(scene.core.intents.get(MAC)).toEqual(before);
  };

  it("while any pool has a socket of it", () => {
    const home = aMachineReport({ record: record("assigned", 1) });
    refused(gone(), { a: [], b: [home] }, "machine_connected", '"b"; stop its provider, quarantine it');
    const elsewhere = aMachineReport({ record: record("released", 1) });
    refused(gone(), { ...AWAY, a: [elsewhere] }, "machine_connected", '"a"');
  });

  it("while a pool that may have one does not answer, or has answered to an older question only", () => {
    const scene = gone();
    scene.tick(0, AWAY);
    scene.calls();
    scene.now += 1;
    expect(scene.core.remove(MAC, scene.now, scene.now)).toMatchObject({ code: "try_again" });
    expect(scene.core.directory.get(MAC)).not.toBeNull();
  });

  it("within a minute of its register, whose answer its pool may not have yet", () => {
    const scene = new FleetScene();
    scene.join(A);
    scene.now += 59_000;
    refused(scene, { a: [] }, "machine_connected", "within the last minute");
    scene.now += 1_001;
    expect(remove(scene, { a: [] })).toBeNull();
  });
});
