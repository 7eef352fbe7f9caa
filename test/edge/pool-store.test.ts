import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import { USAGE_ROWS_MAX } from "../../core/limits.ts";
import type { Entries } from "../../core/pool/ledger.ts";
import type { PoolRecord } from "../../core/pool/record.ts";
import { INITIAL_SETTINGS, type PoolSettings } from "../../core/pool/settings.ts";
import { PoolStore } from "../../durable-objects/storage/pool-store.ts";
import { epochSchema, machineIdSchema } from "../../protocol/ids.ts";
import { testEnv, unique } from "./scene.ts";

const [MAC, OTHER] = [machineIdSchema.parse("mac-1"), machineIdSchema.parse("mac-2")];

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW = 40 * DAY_MS;

/** A store of its own, and a second one that finds what the first has written. */
async function onDisk(use: (store: PoolStore, later: () => PoolStore) => void): Promise<void> {
  await runInDurableObject(testEnv.FLEET.getByName(unique("pool")), async (_, { storage }) => {
    await storage.deleteAll();
    use(new PoolStore(storage), () => new PoolStore(storage));
  });
}

const nothing: Entries = { usage: [], demand: [], totals: [], speeds: [], work: [] };

function record(fields: Partial<PoolRecord> = {}): PoolRecord {
  return {
    machineId: MAC,
    mode: "loading",
    epoch: epochSchema.parse(3),
    since: 4,
    deadlineAt: 5,
    terms: { drainMs: 6, loadMs: 7, publicKey: "k" },
    progress: 0,
    error: null,
    ...fields,
  };
}

it("[H17] the settings that a pool has heard last are those that it begins with", async () => {
  await onDisk((store, later) => {
    expect(store.settings()).toEqual(INITIAL_SETTINGS);
    for (const version of [1, 2]) store.saveSettings({ ...INITIAL_SETTINGS, version });
    expect(later().settings()).toEqual({ ...INITIAL_SETTINGS, version: 2 });
  });
});

it("[H17] settings that a later version has written in its own words are none, so that the fleet tells them again", async () => {
  await onDisk((store, later) => {
    const { flags } = INITIAL_SETTINGS;
    const unknown = { ...INITIAL_SETTINGS, version: 3, flags: { ...flags, pool_exhausted_429: "sometimes" } };
    store.saveSettings(unknown as unknown as PoolSettings);
    expect(later().settings()).toEqual(INITIAL_SETTINGS);
  });
});

describe("what a pool keeps of its machines", () => {
  it("[H2] is the newest record of each, with the error if it has failed, until it is removed", async () => {
    await onDisk(({ records }, later) => {
      const failed = record({
        mode: "failed",
        deadlineAt: null,
        error: { code: "load_failed", message: "no room" },
      });
      for (const each of [record(), record({ machineId: OTHER }), failed]) records.put(each);
      expect(later().records.all()).toEqual([failed, record({ machineId: OTHER })]);
      records.remove(MAC);
      expect(later().records.all()).toEqual([record({ machineId: OTHER })]);
    });
  });

  it("is which of them are connected, and from when the newest word on a cordon is, each by itself", async () => {
    await onDisk((store, later) => {
      for (const id of [MAC, OTHER, MAC]) store.rememberMachine(id);
      for (const asOf of [1, 2]) for (const id of [MAC, OTHER]) store.cordons.put(id, asOf);
      store.forgetMachine(MAC);
      store.cordons.remove(OTHER);
      expect(later().connectedMachines()).toEqual([OTHER]);
      expect([...later().cordons.all()]).toEqual([[MAC, 2]]);
    });
  });

  it("is the newest speed of each, until nothing is known any more", async () => {
    await onDisk((store, later) => {
      const speed = (tps: number) => ({ prefillTps: tps, decodeTps: [null, tps] });
      const both = [MAC, OTHER].map((machineId) => ({ machineId, speed: speed(1) }));
      store.addEntries({ ...nothing, speeds: both }, NOW);
      store.addEntries({ ...nothing, speeds: [{ machineId: MAC, speed: speed(2) }] }, NOW);
      expect(later().ledger().speeds()).toEqual([
        { machineId: MAC, speed: speed(2) },
        { machineId: OTHER, speed: speed(1) },
      ]);
      store.addEntries({ ...nothing, speeds: [{ machineId: MAC, speed: null }] }, NOW);
      expect(later().ledger().speeds()).toEqual([{ machineId: OTHER, speed: speed(1) }]);
    });
  });
});

it("what a machine has answered adds up by day, for itself alone, and is kept for 35 days", async () => {
  await onDisk((store, later) => {
    const tokens = { promptTokens: 2, completionTokens: 3, cachedTokens: 4 };
    const row = { machineId: MAC, owner: "acme", dayAt: NOW, requests: 1, ...tokens };
    const work = [row, { ...row, dayAt: NOW - DAY_MS }, { ...row, machineId: OTHER }];
    for (let i = 0; i < 2; i++) store.addEntries({ ...nothing, work }, NOW);
    const twice = { requests: 2, promptTokens: 4, completionTokens: 6, cachedTokens: 8 };
    expect(later().work.of(MAC, "acme", NOW)).toEqual([{ ...row, ...twice }]);
    expect(
      later()
        .work.of(MAC, "acme", 0)
        .map(({ dayAt }) => dayAt),
    ).toEqual([NOW - DAY_MS, NOW]);
    expect(later().work.of(OTHER, "acme", 0)).toEqual([{ ...row, machineId: OTHER, ...twice }]);
    store.addEntries({ ...nothing, work: [] }, NOW + 35 * DAY_MS);
    expect(
      later()
        .work.of(MAC, "acme", 0)
        .map(({ dayAt }) => dayAt),
    ).toEqual([NOW]);
  });
});

it("what a machine has answered is told to whoever owned it then", async () => {
  await onDisk((store, later) => {
    const tokens = { promptTokens: 2, completionTokens: 3, cachedTokens: 4 };
    const row = { machineId: MAC, owner: "acme", dayAt: NOW, requests: 1, ...tokens };
    const earlier = { ...row, dayAt: NOW - DAY_MS };
    store.addEntries({ ...nothing, work: [earlier, row] }, NOW);
    expect(later().work.of(MAC, "other", 0)).toEqual([]);
    // Its id has become another's in the middle of the day.
    const another = { ...row, owner: "other" };
    store.addEntries({ ...nothing, work: [another] }, NOW);
    expect(later().work.of(MAC, "other", 0)).toEqual([another]);
    expect(later().work.of(MAC, "acme", 0)).toEqual([earlier]);
  });
});

describe("what a pool has counted", () => {
  const usage = {
    keyId: "k",
    outcome: "ok",
    requests: 1,
    promptTokens: 2,
    completionTokens: 3,
    cachedTokens: 4,
  };
  const demand = { arrivals: 1, promptTokens: 2, completed: 3, completionTokens: 4 };

  it("adds up by hour, key and outcome, and by minute, and is read in that order from a time on", async () => {
    await onDisk((store, later) => {
      const hours = [
        { ...usage, hourAt: NOW },
        { ...usage, hourAt: NOW, outcome: "failed" },
        { ...usage, hourAt: NOW, keyId: "j" },
        { ...usage, hourAt: NOW - HOUR_MS },
      ];
      const minutes = [NOW + 60_000, NOW].map((minuteAt) => ({ ...demand, minuteAt }));
      for (let i = 0; i < 2; i++) store.addEntries({ ...nothing, usage: hours, demand: minutes }, NOW);
      const twice = { requests: 2, promptTokens: 4, completionTokens: 6, cachedTokens: 8 };
      expect(later().usageSince(NOW, "hour")).toEqual([
        { hourAt: NOW, keyId: "j", outcome: "ok", ...twice },
        { hourAt: NOW, keyId: "k", outcome: "failed", ...twice },
        { hourAt: NOW, keyId: "k", outcome: "ok", ...twice },
      ]);
      expect(later().usageSince(NOW - 1, "hour")).toHaveLength(3);
      expect(later().usageSince(NOW - HOUR_MS, "hour")).toHaveLength(4);
      const both = [NOW, NOW + 60_000].map((minuteAt) => ({
        minuteAt,
        arrivals: 2,
        promptTokens: 4,
        completed: 6,
        completionTokens: 8,
      }));
      expect(later().demandSince(NOW)).toEqual(both);
      expect(later().demandSince(NOW + 1)).toEqual(both.slice(1));
    });
  });

  it("adds up by the UTC day, and is not told if it is too much", async () => {
    await onDisk((store, later) => {
      const hours = [NOW, NOW + 23 * HOUR_MS, NOW + DAY_MS, NOW - HOUR_MS].map((hourAt) => ({
        ...usage,
        hourAt,
      }));
      store.addEntries({ ...nothing, usage: hours }, NOW);
      expect(later().usageSince(NOW, "day")).toEqual([
        {
          hourAt: NOW,
          keyId: "k",
          outcome: "ok",
          requests: 2,
          promptTokens: 4,
          completionTokens: 6,
          cachedTokens: 8,
        },
        { ...usage, hourAt: NOW + DAY_MS },
      ]);
      const many = Array.from({ length: USAGE_ROWS_MAX / 2 }, (_, key) => ({ ...usage, keyId: `${key}` }));
      const hoursOfMany = [1, 2].flatMap((hour) =>
        many.map((row) => ({ ...row, hourAt: NOW + hour * HOUR_MS })),
      );
      store.addEntries({ ...nothing, usage: hoursOfMany }, NOW);
      expect(later().usageSince(NOW + HOUR_MS, "hour")).toBeNull();
      expect(later().usageSince(NOW + HOUR_MS, "day")).toHaveLength(USAGE_ROWS_MAX / 2 + 2);
    });
  });

  it("is kept by the hour for 35 days and by the minute for 8, and its totals for ever", async () => {
    await onDisk((store, later) => {
      const ages = [35 * DAY_MS, 8 * DAY_MS, 0];
      const rows = {
        ...nothing,
        usage: ages.map((age) => ({ ...usage, hourAt: NOW - age })),
        demand: ages.map((age) => ({ ...demand, minuteAt: NOW - age })),
      };
      store.addEntries({ ...rows, totals: [{ name: "arrivals", value: 1 }] }, NOW);
      expect(
        later()
          .usageSince(0, "hour")
          ?.map(({ hourAt }) => NOW - hourAt),
      ).toEqual(ages);
      expect(
        later()
          .demandSince(0)
          .map(({ minuteAt }) => NOW - minuteAt),
      ).toEqual(ages.slice(1));
      store.addEntries({ ...nothing, totals: [{ name: "arrivals", value: 9 }] }, NOW + 1);
      expect(
        later()
          .usageSince(0, "hour")
          ?.map(({ hourAt }) => NOW - hourAt),
      ).toEqual(ages.slice(1));
      expect(
        later()
          .demandSince(0)
          .map(({ minuteAt }) => NOW - minuteAt),
      ).toEqual(ages.slice(2));
      store.addEntries(nothing, NOW + 100 * DAY_MS);
      expect(later().ledger().totals).toEqual([{ name: "arrivals", value: 9 }]);
    });
  });
});
