import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";

import type { Intent, Switch } from "../../core/fleet/machine.ts";
import { SWITCH_HISTORY } from "../../core/limits.ts";
import { SqlFleetStore } from "../../durable-objects/storage/fleet-store.ts";
import { epochSchema, machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { fleet, testEnv, unique } from "./scene.ts";

const A = modelIdSchema.parse("a");
const MAC = machineIdSchema.parse(unique("mac"));

function line(fields: Partial<Switch> = {}): Switch {
  return {
    at: 1,
    machineId: MAC,
    from: null,
    to: A,
    epoch: epochSchema.parse(1),
    reason: "again",
    outcome: "failed",
    error: "gone",
    tookMs: 1,
    ...fields,
  };
}

function order(fields: Partial<Intent> = {}): Intent {
  return {
    machineId: MAC,
    epoch: epochSchema.parse(1),
    model: A,
    from: null,
    reason: "pinned",
    phase: "ordered",
    outcome: null,
    error: null,
    pending: [],
    holders: [],
    isHeard: false,
    isPinned: false,
    startedAt: 1,
    phaseAt: 2,
    rounds: 3,
    retryAt: null,
    ...fields,
  };
}

it("[H17] takes each pool that has not released a machine for one that may have it, where an earlier version has kept none", async () => {
  const [a, b] = [A, modelIdSchema.parse("b")];
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlFleetStore(storage);
    for (const [fields, holders] of [
      [{ phase: "done", model: a, pending: [] }, [a]],
      [{ phase: "done", model: null, pending: [] }, []],
      [{ phase: "releasing", model: a, from: a, pending: [b] }, [b, a]],
      [{ phase: "releasing", model: null, from: b, pending: [b, a] }, [b, a]],
    ] as const) {
      store.saveIntent(order({ ...fields, holders: ["c"] }));
      expect(store.intents()).toMatchObject([{ ...fields, holders: ["c"] }]);
      storage.sql.exec("UPDATE intents SET holders = NULL");
      expect(store.intents()).toMatchObject([{ ...fields, holders }]);
    }
  });
});

it("[C19] removes the newest line of a machine's history only if it is as the one that is to come", async () => {
  const other = machineIdSchema.parse(unique("mac"));
  await runInDurableObject(fleet(), (_, state) => {
    const store = new SqlFleetStore(state.storage);
    const left = () => store.switches(50).filter(({ machineId }) => machineId === MAC || machineId === other);
    for (const entry of [line(), line({ at: 2 }), line({ at: 3, machineId: other })]) store.addSwitch(entry);
    for (const fields of [
      { from: modelIdSchema.parse("b") },
      { to: null },
      { reason: "pinned" },
      { outcome: "superseded" },
      { error: null },
    ] as const) {
      store.removeRepeated(line(fields));
    }
    expect(left()).toHaveLength(3);
    store.removeRepeated(line({ at: 4, epoch: epochSchema.parse(9), tookMs: 9 }));
    expect(left()).toMatchObject([
      { machineId: other, at: 3 },
      { machineId: MAC, at: 1 },
    ]);
  });
});

it("keeps the last lines of the history, however many were replaced by newer ones", async () => {
  const failing = [machineIdSchema.parse(unique("mac")), machineIdSchema.parse(unique("mac"))];
  const old = machineIdSchema.parse(unique("mac"));
  await runInDurableObject(fleet(), (_, state) => {
    const store = new SqlFleetStore(state.storage);
    store.addSwitch(line({ machineId: old }));
    for (let at = 0; at < SWITCH_HISTORY; at++) {
      for (const machineId of failing) {
        store.removeRepeated(line({ machineId, at }));
        store.addSwitch(line({ machineId, at }));
      }
    }
    const kept = store.switches(SWITCH_HISTORY + 1).map(({ machineId }) => machineId);
    expect(kept.slice(0, 3)).toEqual([...failing.toReversed(), old]);
    for (let at = 0; at < SWITCH_HISTORY; at++) store.addSwitch(line({ at }));
    expect(store.switches(SWITCH_HISTORY + 1)).toHaveLength(SWITCH_HISTORY);
  });
});

it("forgets of orders and cooldowns the one that it is told to, and no other", async () => {
  const [mac, other] = [machineIdSchema.parse(unique("mac")), machineIdSchema.parse(unique("mac"))];
  const b = modelIdSchema.parse("b");
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlFleetStore(storage);
    for (const machineId of [mac, other]) {
      store.saveIntent(order({ machineId }));
      for (const model of [A, b]) store.saveCooldown({ machineId, model, until: 7 });
    }
    store.removeIntent(mac);
    store.removeCooldown(mac, A);
    expect(store.intents()).toEqual([order({ machineId: other })]);
    expect(store.cooldowns()).toEqual(
      [
        { machineId: mac, model: b, until: 7 },
        { machineId: other, model: A, until: 7 },
        { machineId: other, model: b, until: 7 },
      ].toSorted((x, y) => (x.machineId < y.machineId ? -1 : 1)),
    );
  });
});

it("keeps a machine's newest order whole, with its error, and its newest cooldown", async () => {
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlFleetStore(storage);
    store.saveIntent(order());
    store.saveCooldown({ machineId: MAC, model: A, until: 7 });
    const newest = order({
      epoch: epochSchema.parse(9),
      model: null,
      from: A,
      phase: "done",
      outcome: "failed",
      error: { code: "load_failed", message: "no room" },
      pending: ["a", "b"],
      isHeard: true,
      isPinned: true,
      retryAt: 12,
    });
    store.saveIntent(newest);
    store.saveCooldown({ machineId: MAC, model: A, until: 8 });
    const later = new SqlFleetStore(storage);
    expect(later.intents()).toEqual([newest]);
    expect(later.cooldowns()).toEqual([{ machineId: MAC, model: A, until: 8 }]);
  });
});

it("[H22] forgets no revoked token, and tells which were revoked from a time on", async () => {
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlFleetStore(storage);
    store.revokeToken("a", 10);
    store.revokeToken("b", 20);
    // Again, by an operator whose first call broke: that it is revoked is nothing new.
    store.revokeToken("a", 30);
    const later = new SqlFleetStore(storage);
    expect(["a", "b", "c"].map((id) => later.isRevoked(id))).toEqual([true, true, false]);
    expect([10, 11, 20, 21].map((since) => later.tokensRevokedSince(since))).toEqual([
      ["a", "b"],
      ["b"],
      ["b"],
      [],
    ]);
  });
});

it("[H1] [H17] knows where machines may be, and what each pool has confirmed, each by itself", async () => {
  const [mac, other] = [machineIdSchema.parse("mac-1"), machineIdSchema.parse("mac-2")];
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlFleetStore(storage);
    for (const machineId of [mac, other]) {
      for (const pool of ["a", "b"]) store.saveMembership({ machineId, pool, dialedAt: 1 });
    }
    store.saveMembership({ machineId: mac, pool: "b", dialedAt: 2 });
    store.removeMembership(mac, "a");
    for (const version of [1, 2]) for (const pool of ["a", "b"]) store.saveConfigured(pool, version);
    store.saveConfigured("b", 3);
    const later = new SqlFleetStore(storage);
    expect(later.memberships()).toEqual([
      { machineId: mac, pool: "b", dialedAt: 2 },
      { machineId: other, pool: "a", dialedAt: 1 },
      { machineId: other, pool: "b", dialedAt: 1 },
    ]);
    expect(later.configured()).toEqual([
      ["a", 2],
      ["b", 3],
    ]);
  });
});

it("counts every switch by the model that was ordered and by how it ended, and no release", async () => {
  const b = modelIdSchema.parse("b");
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlFleetStore(storage);
    for (const entry of [
      line(),
      line(),
      line({ outcome: "succeeded" }),
      line({ to: b }),
      line({ to: null }),
    ]) {
      store.addSwitch(entry);
    }
    store.removeRepeated(line({ to: null }));
    expect(new SqlFleetStore(storage).switchTotals()).toEqual([
      { model: A, outcome: "failed", switches: 2 },
      { model: A, outcome: "succeeded", switches: 1 },
      { model: b, outcome: "failed", switches: 1 },
    ]);
    expect(store.switches(50)).toHaveLength(4);
  });
});

it("[C19] removes a line without an error for one that has none either", async () => {
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlFleetStore(storage);
    store.addSwitch(line({ error: null }));
    store.removeRepeated(line());
    expect(store.switches(50)).toHaveLength(1);
    store.removeRepeated(line({ error: null }));
    expect(store.switches(50)).toEqual([]);
  });
});
