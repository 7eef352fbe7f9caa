import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import type { LastPlan, PlacementMemory } from "../../core/fleet/plan-record.ts";
import { ELSEWHERE_KEPT, PLAN_HISTORY, SCORED_DAYS_KEPT } from "../../core/limits.ts";
import { UNSEEN } from "../../core/placement/demand.ts";
import type { Score } from "../../core/placement/score.ts";
import { SqlPlacementStore } from "../../durable-objects/storage/placement-store.ts";
import { machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { testEnv, unique } from "./scene.ts";

/** In production a row may have this many bytes; workerd takes more. */
const ROW_MAX = 2_000_000;

const NOW = 1_795_478_400_000;

describe("the score of placement", () => {
  it("is kept also where as many machines as count are elsewhere, with the longest ids there are", async () => {
    const models = Array.from({ length: 50 }, (_, at) => modelIdSchema.parse(`${at}/`.padEnd(128, "m")));
    const score: Score = {
      mode: "shadow",
      elsewhere: models.flatMap((model, at) =>
        Array.from({ length: ELSEWHERE_KEPT / models.length }, (__, count) => ({
          machineId: `${at}-${count}-`.padEnd(64, "0"),
          model,
          readyAt: NOW + count,
        })),
      ),
      days: Array.from({ length: SCORED_DAYS_KEPT }, (_, day) => ({
        dayAt: NOW + day,
        mode: "shadow",
        machineSeconds: 1e9 / 3,
        offered: 1e9,
        good: 1e9,
        asPlaced: 1e9 / 3,
        otherwise: 1e9 / 3,
        switches: 1e6,
      })),
      trial: { mode: "enforce", since: NOW, countsFrom: 0 },
    };
    await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
      const store = new SqlPlacementStore(storage.sql);
      expect(store.score()).toBeNull();
      store.saveScore({ ...score, mode: "enforce" });
      store.saveScore(score);
      expect(store.score()).toEqual(score);
      const { bytes } = storage.sql
        .exec<{ bytes: number }>("SELECT length(json) AS bytes FROM placement_score")
        .one();
      expect(bytes).toBeLessThan(ROW_MAX);
      expect(bytes).toBeGreaterThan(ROW_MAX / 2);
    });
  });
});

const PLAN: LastPlan = {
  at: NOW,
  mode: "enforce",
  halted: null,
  models: [],
  moves: [],
  stays: { cordoned: 1 },
  demand: [],
  elapsedSeconds: 30,
  budget: 4,
  machines: [{ machineId: "mac", reason: "cordoned", bestTarget: null, bestGain: null }],
  supply: [{ modelId: modelIdSchema.parse("m"), capacity: 0.5, machines: 1 }],
};

it("the newest plans are kept, and of them those that this version can read", async () => {
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlPlacementStore(storage.sql);
    for (let at = 0; at <= PLAN_HISTORY; at++) store.addPlan({ ...PLAN, at });
    const timesOf = (limit: number) => store.plans(limit).map(({ at }) => at);
    expect(timesOf(2)).toEqual([PLAN_HISTORY, PLAN_HISTORY - 1]);
    const all = timesOf(PLAN_HISTORY + 1);
    expect([all.length, all.at(-1)]).toEqual([PLAN_HISTORY, 1]);
    storage.sql.exec("INSERT INTO plans (json) VALUES (?)", JSON.stringify({ ...PLAN, mode: "later" }));
    expect(timesOf(2)).toEqual([PLAN_HISTORY]);
  });
});

it("what another version has learned in another shape is forgotten, which is logged", async () => {
  const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlPlacementStore(storage.sql);
    for (const table of ["placement", "placement_score"]) {
      storage.sql.exec(`INSERT INTO ${table} VALUES (1, '{"learnedAt":"long ago"}')`);
    }
    expect([store.placement(), store.score()]).toEqual([null, null]);
  });
  const line: unknown = expect.objectContaining({ event: "placement_forgotten" });
  expect(warned.mock.calls).toEqual([[line], [line]]);
  warned.mockRestore();
});

it("when all was looked at, who is in demand and how long loads took are known to a later life", async () => {
  const [mac, other] = [machineIdSchema.parse("mac-1"), machineIdSchema.parse("mac-2")];
  const model = modelIdSchema.parse("m");
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlPlacementStore(storage.sql);
    const later = () => new SqlPlacementStore(storage.sql);
    expect(store.schedule()).toBeNull();
    for (const lastAt of [1, 2]) store.saveSchedule({ lastAt, quietTicks: lastAt * 10 });
    expect(later().schedule()).toEqual({ lastAt: 2, quietTicks: 20 });
    for (const pool of ["a", "b", "a"]) store.addPoolInDemand(pool);
    expect(later().poolsInDemand()).toEqual(["a", "b"]);
    store.clearPoolsInDemand();
    expect(later().poolsInDemand()).toEqual([]);
    for (const seconds of [7, 8.5]) {
      for (const machineId of [mac, other]) store.saveLoadTime({ machineId, model, seconds });
    }
    store.removeLoadTimes(other);
    expect(later().loadTimes()).toEqual([{ machineId: mac, model, seconds: 8.5 }]);
  });
});

it("all that placement has learned is kept while a machine is cordoned", async () => {
  const memory: PlacementMemory = {
    learnedAt: NOW,
    state: { estimates: { [modelIdSchema.parse("m")]: UNSEEN }, online: [], frozenUntil: 0 },
    counted: {},
    last: PLAN,
  };
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const store = new SqlPlacementStore(storage.sql);
    store.savePlacement({ ...memory, learnedAt: 0 });
    store.savePlacement(memory);
    expect(store.placement()).toEqual(memory);
    store.addPlan(PLAN);
    expect(store.plans(1)).toMatchObject([{ stays: { cordoned: 1 } }]);
  });
});

it("what an earlier version has learned of demand is kept, though it knew nothing of what is left of it later", async () => {
  const model = modelIdSchema.parse("m");
  const { later, ...known } = { ...UNSEEN, fast: 3, slow: 2, usual: 1 };
  const memory = { learnedAt: NOW, counted: {}, last: null };
  const state = { online: [], frozenUntil: 0 };
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
    const kept = { ...memory, state: { ...state, estimates: { [model]: known } } };
    storage.sql.exec("INSERT OR REPLACE INTO placement VALUES (1, ?)", JSON.stringify(kept));
    expect(new SqlPlacementStore(storage.sql).placement()).toEqual({
      ...memory,
      state: { ...state, estimates: { [model]: { ...known, later } } },
    });
  });
});
