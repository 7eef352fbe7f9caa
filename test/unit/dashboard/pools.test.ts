import { describe, expect, it } from "vitest";

import {
  filteredPools,
  longestBar,
  poolLines,
  poolsSummary,
  sortedPools,
  titleOf,
  type PoolSort,
} from "../../../dashboard/pools.js";
import type { Snapshot } from "../../../dashboard/snapshot.js";
import { aMachine, aPlanned, aPool, aSnapshot, aUsage, used } from "./snapshot-scene.ts";

/** The one line of a pool of this kind, beside the demand of so many machines. */
function lineOf(pool: Parameters<typeof aPool>[0], demand: number | null, usage: Snapshot["usage"] = null) {
  const models = demand === null ? [] : [aPlanned({ demand_machines: demand, demand_rps: demand })];
  const [line] = poolLines(aSnapshot({ fleet: { pools: [aPool(pool)] }, placement: { models }, usage }));
  if (line === undefined) throw new Error("the pool has no line");
  return line;
}

describe("the supply of a pool", () => {
  it.each([
    ["is short by what the demand wants more than is ready", { serving: 2 }, 5, "short", "short by 3"],
    [
      "is no machine at all, if something is asked and none is ready",
      { serving: 0 },
      1,
      "short",
      "no machine",
    ],
    [
      "is short while requests wait and no slot is free",
      { queued: 4, free_slots: 0 },
      2,
      "short",
      "all busy",
    ],
    [
      "is enough while requests wait for a slot that is free",
      { queued: 1, free_slots: 1 },
      2,
      "enough",
      "enough",
    ],
    ["is enough if it is exactly what is wanted", { serving: 2 }, 2, "enough", "enough"],
    ["counts machines that nobody has assigned", { serving: 0, unmanaged: 2 }, 2, "enough", "enough"],
    ["is more than enough if a machine could go", { serving: 5 }, 2, "spare", "3 to spare"],
    ["is of no matter if nothing is asked and nothing there", { serving: 0 }, 0, "unknown", "not in use"],
    ["is short if it has fewer than its floor", { serving: 3, floor: 9 }, 1, "short", "6 below its floor"],
    ["is short without any demand, too", { serving: 0, floor: 2 }, 0, "short", "2 below its floor"],
    [
      "is short of what the demand wants first, whatever the floor",
      { serving: 0, floor: 2 },
      1,
      "short",
      "no machine",
    ],
    ["is enough if only the floor keeps what it has", { serving: 3, floor: 3 }, 1, "enough", "enough"],
    ["has to spare what neither floor nor demand keeps", { serving: 5, floor: 3 }, 1, "spare", "2 to spare"],
    ["is not known before the first tick", { serving: 2 }, null, "unknown", "not measured yet"],
  ] as const)("%s", (_, pool, demand, supply, verdict) => {
    expect(lineOf(pool, demand)).toMatchObject({ supply, verdict });
  });

  it("is short if requests are asked for that no machine can be measured by", () => {
    const models = [aPlanned({ demand_machines: 0, demand_rps: 0.2 })];
    const fleet = { pools: [aPool({ serving: 0 })] };
    expect(poolLines(aSnapshot({ fleet, placement: { models } }))).toMatchObject([
      { supply: "short", verdict: "no machine", demand: 1 },
    ]);
  });

  it("says beside it what is on the way and what went wrong", () => {
    const line = lineOf({ serving: 1, loading: 1, draining: 1, failed: 1 }, 3);
    expect(line).toMatchObject({ verdict: "short by 2", remedy: "2 on the way, 1 failed", coming: 2 });
  });

  it("says which of its machines get no requests: those that a gate keeps back, and those that are gone", () => {
    const kept = {
      explanation: { gate: "too_hot", why: "it is too hot", fix: null, unmanaged_because: null },
    };
    const machines = [
      aMachine(),
      aMachine({ machine_id: "mac-2", ...kept }),
      aMachine({ machine_id: "mac-3", ...kept }),
      aMachine({ machine_id: "mac-4", ...kept, state: "offline" }),
      aMachine({ machine_id: "mac-5", ...kept, assigned_model: "b" }),
      aMachine({ machine_id: "mac-6", ...kept, state: "loading" }),
    ];
    const pools = [aPool({ serving: 1, loading: 1 })];
    const lines = poolLines(aSnapshot({ fleet: { pools, machines }, placement: { models: [aPlanned()] } }));
    expect(lines).toMatchObject([{ verdict: "short by 1", remedy: "1 on the way, 2 kept back, 1 offline" }]);
  });

  it("knows no floor while placement is off: nobody keeps it", () => {
    const fleet = { placement: "off" as const, pools: [aPool({ serving: 3, floor: 9 })] };
    const models = [aPlanned({ demand_machines: 1 })];
    expect(poolLines(aSnapshot({ fleet, placement: { models } }))).toMatchObject([{ verdict: "2 to spare" }]);
  });

  it("is of no matter for a model that is switched off, which is said instead", () => {
    const flags = [{ name: "shed_models", value: "b, a" }] as never;
    const lines = poolLines(aSnapshot({ flags, fleet: { pools: [aPool(), aPool({ model_id: "c" })] } }));
    expect(lines).toMatchObject([
      { supply: "off", verdict: "switched off", remedy: "by the flag shed_models" },
      { id: "c", verdict: "not measured yet" },
    ]);
    expect(poolsSummary(lines)).toContain("2 pools · 1 switched off · ");
  });

  it("is never guessed for a pool that does not answer", () => {
    const fleet = { pools: [aPool({ serving: 0 })], unreachable_pools: ["a"] };
    expect(poolLines(aSnapshot({ fleet }))).toMatchObject([
      { supply: "unknown", verdict: "no answer", isAnswering: false },
    ]);
  });
});

describe("what is wanted", () => {
  it("is nothing that anybody has decided while placement is off and no machine is assigned", () => {
    const off = (desired: number) =>
      poolLines(aSnapshot({ fleet: { placement: "off", pools: [aPool({ desired })] } }))[0]?.desired;
    expect(off(0)).toBeNull();
    expect(off(1)).toBe(1);
    expect(lineOf({ desired: 0 }, 0).desired).toBe(0);
  });
});

it("says what was refused, once that has been read", () => {
  expect(lineOf({}, 2, aUsage(used("ok", 9), used("queue_full", 1))).refusals).toMatchObject({
    share: "10 %",
  });
  expect(lineOf({}, 2, null).refusals).toBeNull();
});

it("draws bars to the longest of what is ready, what comes, and the demand", () => {
  expect(longestBar([])).toBe(1);
  expect(longestBar([lineOf({ serving: 3, loading: 2 }, 4)])).toBe(5);
  expect(longestBar([lineOf({ serving: 1 }, 9)])).toBe(9);
});

describe("the list of pools", () => {
  const pools = [
    { model_id: "calm-2", serving: 4, queued: 0, in_flight: 7 },
    { model_id: "calm-10", serving: 3, queued: 2, in_flight: 1 },
    { model_id: "silent", serving: 0, queued: 0, in_flight: 0 },
    { model_id: "short", serving: 0, queued: 1, in_flight: 0 },
  ];
  const models = pools.map(({ model_id }, index) => aPlanned({ model_id, demand_machines: index }));
  const usage = aUsage(used("queue_full", 5, 0, "calm-10"), used("ok", 9, 0, "calm-2"));
  const lines = poolLines(
    aSnapshot({
      fleet: { pools: pools.map(aPool), unreachable_pools: ["silent"] },
      placement: { models },
      usage,
    }),
  );
  const order = (key: PoolSort, isDescending: boolean) =>
    sortedPools(lines, { key, isDescending }).map(({ id }) => id);

  it("begins with those in trouble, and has all others by name", () => {
    expect(order("supply", false)).toEqual(["short", "silent", "calm-2", "calm-10"]);
  });

  it.each<[PoolSort, string]>([
    ["id", "silent"],
    ["ready", "calm-2"],
    ["demand", "short"],
    ["inFlight", "calm-2"],
    ["queued", "calm-10"],
    ["refused", "calm-10"],
  ])("can begin with what has most of a number: %s", (key, first) => {
    expect(order(key, true)[0]).toBe(first);
  });

  it("is filtered by model and supply", () => {
    const found = (words: string) => filteredPools(lines, words).map(({ id }) => id);
    expect(found("CALM spare")).toEqual(["calm-2", "calm-10"]);
    expect(found("no machine")).toEqual(["short"]);
    expect(found("")).toHaveLength(4);
  });
});

it("counts pools in trouble in the title of the tab", () => {
  const calm = lineOf({ serving: 2 }, 1);
  expect(titleOf([calm])).toBe("Poolkeeper");
  expect(titleOf([calm, lineOf({ serving: 0 }, 1), { ...calm, isAnswering: false }])).toBe("(2) Poolkeeper");
});

it("sums up all pools", () => {
  expect(
    poolsSummary([lineOf({ serving: 0, queued: 2, in_flight: 0 }, 1), lineOf({ in_flight: 1500 }, 2)]),
  ).toBe("2 pools · 1 short · 1,500 in flight · 2 in line");
  expect(poolsSummary([])).toBe("");
});
