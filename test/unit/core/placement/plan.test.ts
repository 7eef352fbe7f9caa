import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { DEFAULT_PLACEMENT_CONFIG, EMPTY_PLACEMENT_STATE } from "../../../../core/placement/config.ts";
import { plan } from "../../../../core/placement/plan.ts";
import type { PlacementInput, PlacementMachine, Plan } from "../../../../core/placement/types.ts";
import { A, aMachine as machineWith, B } from "./placement-machine.ts";

const NOW = 10_000_000;
const FIT = { slots: 4, decodeTps: 20, prefillTps: 1000, loadSeconds: 30, onDisk: true };
const config = DEFAULT_PLACEMENT_CONFIG;

function aMachine(machineId: string, change: Partial<PlacementMachine> = {}): PlacementMachine {
  return machineWith(machineId, { fits: { [A]: FIT, [B]: FIT }, ...change });
}

function aFleet(size: number, change: Partial<PlacementMachine> = {}): PlacementMachine[] {
  return Array.from({ length: size }, (_, at) => aMachine(`m${at}`, change));
}

function anInput(
  machines: PlacementMachine[],
  a: number,
  b: number,
  floor = 0,
  cap: number | null = null,
): PlacementInput {
  const tick = (modelId: typeof A, offered: number) => ({
    modelId,
    offered,
    good: 0,
    promptTokensMean: 500,
    outputTokensMean: 200,
  });
  return {
    now: NOW,
    elapsedSeconds: 30,
    machines,
    demand: [tick(A, a), tick(B, b)],
    models: [
      { modelId: A, floor, cap: null, priority: 1 },
      { modelId: B, floor: 0, cap, priority: 1 },
    ],
  };
}

function planned(input: PlacementInput, change: Partial<typeof config> = {}): Plan {
  return plan(EMPTY_PLACEMENT_STATE, input, { ...config, ...change });
}

function reasons(result: Plan): Set<string> {
  return new Set(result.machines.map(({ reason }) => reason));
}

describe("the planner", () => {
  it("[F8] gives a model without machines and floor one after its first refused requests", () => {
    expect(planned(anInput(aFleet(4), 5, 1)).moves).toMatchObject([{ from: A, to: B }]);
  });

  it.each([
    // Two requests a second: one machine answers eight of the short ones, and one of the long ones.
    [500, 1],
    [4000, 3],
    // Of machines that count no tokens nobody knows what they can do: the model gets its first one.
    [0, 1],
  ])(
    "gives a model that writes nothing, and reads %i tokens, as many machines as it needs",
    (tokens, moves) => {
      const input = anInput(aFleet(4), 1, 60);
      const texts = { promptTokensMean: tokens, outputTokensMean: 0 };
      const result = planned({ ...input, demand: input.demand.map((tick) => ({ ...tick, ...texts })) });
      expect(result.moves).toHaveLength(moves);
      expect(result.models.every(({ capacity }) => Number.isFinite(capacity))).toBe(true);
    },
  );

  it("[D5] takes machines from a pool above its need, no priority set", () => {
    expect(planned(anInput(aFleet(8), 1, 60)).moves.length).toBe(config.maxLoadsPerTick);
  });

  it("moves idle machines to a starving pool of a model that they serve far more slowly", () => {
    const slow = { ...FIT, decodeTps: 16, slots: 1 };
    const fast = { ...FIT, decodeTps: 80, prefillTps: 8000 };
    const fits = { [A]: fast, [B]: slow };
    const machines = [...aFleet(8, { fits }), aMachine("slow", { fits, model: B })];
    const { moves } = planned(anInput(machines, 10, 12));
    expect(moves.length).toBeGreaterThan(0);
    expect(moves).toMatchObject(moves.map(() => ({ from: A, to: B, reason: "demand_gain" })));
    for (const { won, gate } of moves) expect(gate).toBeLessThan(won);
  });

  it("asks more of a move the longer its load takes, up to a point", () => {
    const gates = [30, 90, 300, 600].map((loadSeconds) => {
      const fit = { ...FIT, loadSeconds };
      const { moves } = planned(anInput(aFleet(8, { fits: { [A]: fit, [B]: fit } }), 1, 60));
      return moves[0]?.gate ?? Number.NaN;
    });
    const [short = 0, longer = 0, long, longest] = gates;
    expect(longer).toBeGreaterThan(short);
    expect(long).toBeGreaterThan(longer);
    expect(longest).toBe(long);
  });

  it("asks more of a machine that has just moved, and the less the longer ago that was", () => {
    const gateAfter = (minutes: number): number => {
      const machines = aFleet(8, { assignedAt: NOW - minutes * 60_000 });
      return planned(anInput(machines, 1, 60)).moves[0]?.gate ?? Number.NaN;
    };
    const [soon, anHour, rested] = [gateAfter(6), gateAfter(60), gateAfter(2 * 24 * 60)];
    expect(soon).toBeGreaterThan(anHour * 1.1);
    expect(anHour).toBeGreaterThan(rested * 1.05);
    expect(soon).toBeLessThan(rested * 1.3);
  });

  it("asks more of a move if the demand of its target or donor comes in bursts", () => {
    const input = anInput(aFleet(8), 1, 60);
    const { estimates } = planned(input).state;
    const gateAt = (roughness: Partial<Record<typeof A, number>>): number => {
      const rough = Object.entries(estimates).map(([id, estimate]) => [
        id,
        { ...estimate, roughness: Reflect.get(roughness, id) ?? 1 },
      ]);
      const state = { ...EMPTY_PLACEMENT_STATE, estimates: Object.fromEntries(rough) };
      return plan(state, input, config).moves[0]?.gate ?? Number.NaN;
    };
    const calm = gateAt({});
    expect(gateAt({ [A]: 4, [B]: 4 })).toBe(calm);
    expect(gateAt({ [B]: 12 })).toBeGreaterThan(1.5 * calm);
    expect(gateAt({ [A]: 12 })).toBe(gateAt({ [B]: 12 }));
  });

  it("[D9] never takes the last serving machine of a pool with demand or a floor", () => {
    expect(planned(anInput(aFleet(1), 1, 100)).moves).toEqual([]);
    const result = planned(anInput(aFleet(1), 0, 100, 1));
    expect(result.moves).toEqual([]);
    expect(reasons(result)).toEqual(new Set(["pool_at_floor"]));
  });

  it("[D9] [F1] does not take the only machine that serves while others are still loading", () => {
    const coming = aMachine("c", { state: "loading", loadDeadlineAt: NOW + 60_000 });
    expect(planned(anInput([aMachine("s"), coming], 1, 100)).moves).toEqual([]);
    expect(planned(anInput([aMachine("s"), coming, aMachine("t")], 1, 100)).moves).toHaveLength(1);
  });

  it("[D9] does not take the last machine of a pool because it is too slow for its model", () => {
    const slow = { fits: { [B]: FIT } };
    expect(planned(anInput(aFleet(1, slow), 1, 100)).moves).toEqual([]);
    expect(planned(anInput(aFleet(1, slow), 0, 0, 1)).moves).toEqual([]);
    const [move] = planned(anInput([aMachine("s", slow), aMachine("t")], 1, 100)).moves;
    expect(move).toMatchObject({ machineId: "s", from: A, to: B });
    expect(planned(anInput(aFleet(2, slow), 0, 100)).moves).toHaveLength(2);
  });

  it("[F1] [F8] gives a model whose only machine is too slow for it another at its first request", () => {
    const machines = [
      aMachine("s", { fits: { [B]: FIT } }),
      aMachine("t", { model: B }),
      aMachine("u", { model: B }),
    ];
    expect(planned(anInput(machines, 1, 0)).moves).toMatchObject([
      { from: B, to: A, reason: "first_machine" },
    ]);
  });

  it("[C9] meets a floor without demand before demand above the floor", () => {
    const empty = [aMachine("e", { model: null, state: "empty" })];
    expect(planned(anInput(empty, 0, 100, 1)).moves).toMatchObject([{ to: A, reason: "floor" }]);
  });

  it.each([
    ["a", 3, 5],
    ["b", 5, 3],
  ])(
    "[C9] shares too few machines between floors by what they lack, not by name (%s has the lower one)",
    (_, a, b) => {
      const input = anInput(aFleet(5, { model: null, state: "empty" }), 0, 0);
      const models = [
        { modelId: A, floor: a, cap: null, priority: 1 },
        { modelId: B, floor: b, cap: null, priority: 1 },
      ];
      const { state } = planned(anInput(aFleet(1), 1, 1));
      const resting = Object.fromEntries(
        Object.entries(state.estimates).map(([id, known]) => [id, { ...known, fast: 0, slow: 0 }]),
      );
      const asked = { ...input, models, demand: [] };
      const { moves } = plan({ ...state, estimates: resting }, asked, { ...config, maxLoadsPerTick: 5 });
      const held = (modelId: typeof A) => moves.filter(({ to }) => to === modelId).length;
      expect([held(A), held(B)].sort()).toEqual([2, 3]);
      expect(held(A) > held(B)).toBe(a > b);
    },
  );

  it("gives what a pool has beyond its cap to whoever gains by it, and leaves it where nobody does", () => {
    const both = aFleet(6, { model: B });
    const busy = (a: number, cap: number | null) => planned(anInput(both, a, 400, 0, cap)).moves;
    // One for the first request; B needs all the others, and then some.
    expect(busy(20, null)).toHaveLength(1);
    expect(busy(20, 4)).toHaveLength(2);
    expect(busy(20, 3)).toMatchObject([{ to: A }, { to: A, lost: 0 }, { to: A, lost: 0 }]);
    expect(busy(0, 3)).toEqual([]);
  });

  it("[C11] leaves a young managed machine, not an unmanaged one", () => {
    const young = planned(anInput(aFleet(4, { assignedAt: NOW - 1000 }), 1, 60));
    expect(young.moves).toEqual([]);
    expect(reasons(young)).toEqual(new Set(["dwell"]));
    const unmanaged = aFleet(4, { assignedAt: NOW - 1000, state: "unmanaged" });
    expect(planned(anInput(unmanaged, 1, 60)).moves.length).toBeGreaterThan(0);
  });

  it("[C14] takes an unmanaged machine before managed ones", () => {
    const machines = [...aFleet(4), aMachine("z", { state: "unmanaged" })];
    expect(planned(anInput(machines, 1, 60)).moves[0]).toMatchObject({ machineId: "z" });
  });

  it("[C13] prefers an idle donor, and drains a busy one if there is no other", () => {
    const machines = [...aFleet(4, { inFlight: 2 }), aMachine("z")];
    expect(planned(anInput(machines, 1, 60)).moves[0]).toMatchObject({ machineId: "z" });
    expect(planned(anInput(aFleet(4, { inFlight: 2 }), 1, 60)).moves.length).toBeGreaterThan(0);
  });

  it.each([
    ["is too small for the model", { fits: { [A]: FIT } }, "no_gain"],
    ["cools down for it", { cooldownUntil: { [B]: NOW + 1 } }, "cooldown"],
    ["is moving already", { state: "loading" }, "moving"],
    ["is pinned", { isPinned: true }, "pinned"],
    ["may not be managed", { isManageable: false }, "unmanageable"],
  ] as const)("[C13] does not move a machine that %s", (_, change, reason) => {
    const result = planned(anInput(aFleet(4, change), 1, 60));
    expect(result.moves).toEqual([]);
    expect(reasons(result)).toEqual(new Set([reason]));
  });

  it("[F1] counts failed and offline machines and loads past their deadline as nothing", () => {
    const lost = [
      aMachine("f", { state: "failed" }),
      aMachine("o", { state: "offline" }),
      aMachine("l", { state: "loading", loadDeadlineAt: NOW }),
    ];
    expect(planned(anInput(lost, 1, 0), { maxLoadsPerTick: 0 }).models[0]).toMatchObject({
      capacity: 0,
      desired: 0,
    });
    expect(planned(anInput(lost, 1, 0)).moves).toMatchObject([{ machineId: "f", to: A }]);
  });

  it("[F13] moves nothing with a budget of 0 and still plans", () => {
    const result = planned(anInput(aFleet(8), 1, 60), { maxLoadsPerTick: 0 });
    expect(result.moves).toEqual([]);
    expect(reasons(result)).toEqual(new Set(["budget"]));
  });

  it("[D11] keeps what machines hold until the first arrival", () => {
    const result = planned(anInput(aFleet(4), 0, 0, 5));
    expect(result.halted).toBe("no_demand_seen");
    expect(reasons(result)).toEqual(new Set(["no_demand_seen"]));
  });

  it("[C9] fills floors also before the first arrival, and moves nothing else", () => {
    const fleet = anInput(aFleet(4), 0, 0);
    const models = fleet.models.map((model) => (model.modelId === B ? { ...model, floor: 1 } : model));
    const result = planned({ ...fleet, models });
    expect(result).toMatchObject({ halted: null, moves: [{ to: B, reason: "floor" }] });
    expect(reasons(result)).toEqual(new Set(["no_demand_seen"]));
    const empty = aFleet(4, { model: null, state: "empty" });
    expect(planned(anInput(empty, 0, 0)).moves).toEqual([]);
  });

  it("does not call itself halted while it moves, though nothing is known of the models that are left", () => {
    const { state } = planned(anInput(aFleet(4), 5, 0));
    const changed = anInput(aFleet(4, { model: null, state: "empty" }), 0, 0);
    const models = [{ modelId: B, floor: 1, cap: null, priority: 1 }];
    expect(plan(state, { ...changed, models, demand: [] }, config)).toMatchObject({
      halted: null,
      moves: [{ to: B, reason: "floor" }],
    });
  });

  it("freezes when many machines vanish at once", () => {
    const before = planned(anInput(aFleet(10), 1, 0));
    const after = [
      ...aFleet(5),
      ...aFleet(5, { state: "offline" }).map((m) => ({ ...m, machineId: `o${m.machineId}` })),
    ];
    const result = plan(before.state, anInput(after, 1, 60), config);
    expect(result.halted).toBe("frozen");
    expect(reasons(result)).toEqual(new Set(["frozen"]));
  });

  it("does not freeze when as many have gone in order, but does for those that vanish beside them", () => {
    const before = planned(anInput(aFleet(12), 1, 0));
    const now = NOW + 60_000;
    const away = (count: number, wentAt: number | null) =>
      aFleet(count, { state: "offline", wentAt }).map((m) => ({
        ...m,
        machineId: `${wentAt}-${m.machineId}`,
      }));
    const halted = (went: number, vanished: number) => {
      const fleet = [...aFleet(12 - went - vanished), ...away(went, now), ...away(vanished, null)];
      return plan(before.state, { ...anInput(fleet, 1, 60), now }, config).halted;
    };
    expect(halted(6, 0)).toBeNull();
    expect(halted(6, 2)).toBeNull();
    expect(halted(6, 3)).toBe("frozen");
    // Their share is one of those that have not said goodbye.
    expect(halted(0, 3)).toBe("frozen");
    const later = plan(before.state, { ...anInput([...aFleet(6), ...away(6, now)], 1, 30), now }, config);
    const next = [...aFleet(3), ...away(6, now), ...away(3, null)];
    expect(plan(later.state, { ...anInput(next, 1, 30), now: now + 30_000 }, config).halted).toBe("frozen");
  });

  it("takes chance to vary demand over a request's service time, and what is beyond chance over a tick", () => {
    const input = anInput(aFleet(4), 30, 0);
    const { state } = planned(input);
    const varianceAt = (dispersion: number): number => {
      const known = state.estimates[A];
      if (known === undefined) throw new Error("a tick was learned from");
      // Without a new count the estimate stays.
      const later = { ...input, demand: [] };
      return (
        (plan({ ...state, estimates: { [A]: { ...known, dispersion } } }, later, config).models[0]
          ?.deviation ?? 0) ** 2
      );
    };
    // 1 request/s, and 500 / 1,000 + 200 / 20 seconds each.
    expect(varianceAt(0.5)).toBeCloseTo(1 / 10.5);
    expect(varianceAt(1)).toBeCloseTo(1 / 10.5);
    expect(varianceAt(5)).toBeCloseTo(1 / 10.5 + (3 * 4) / 30);
  });

  it("holds no pool for worth less because more answers end in it than requests come", () => {
    const input = anInput(aFleet(4), 30, 60);
    const { state } = planned(input, { maxLoadsPerTick: 0 });
    const movesAt = (missShare: number): Plan["moves"] => {
      const known = state.estimates[A];
      if (known === undefined) throw new Error("a tick was learned from");
      const estimates = { ...state.estimates, [A]: { ...known, missShare } };
      return plan({ ...state, estimates }, { ...input, demand: [] }, config).moves;
    };
    expect(movesAt(0)).not.toEqual([]);
    expect(movesAt(-1.5)).toEqual(movesAt(0));
  });

  it("takes machines from a pool of whose answers they say that they had no tokens at all", () => {
    const input = anInput(aFleet(4), 4, 60);
    const demand = input.demand.map((tick) =>
      tick.modelId === A ? { ...tick, promptTokensMean: 0, outputTokensMean: 0 } : tick,
    );
    const { moves, models } = planned({ ...input, demand });
    expect(moves.slice(0, 2)).toMatchObject([
      { from: A, to: B, reason: "first_machine" },
      { from: A, to: B, reason: "demand_gain" },
    ]);
    expect(models[0]?.capacity).toBeLessThan(1e3);
  });

  it("lets the demand of a model that comes later rise from 0", () => {
    const first = planned(anInput(aFleet(4), 30, 0));
    const later = plan(first.state, anInput(aFleet(4), 30, 30), config);
    // 1 request/s in the second of two ticks.
    expect(later.models[1]?.demand).toBeCloseTo(0.5);
  });

  it("plans the same whether alike machines share their fitness or not", () => {
    const fitsAt = (speed: number) => ({
      [A]: { ...FIT, decodeTps: 20 * speed },
      [B]: { ...FIT, decodeTps: 15 * speed * speed },
    });
    const shared = [fitsAt(1), fitsAt(2), fitsAt(3)];
    const moves = (isShared: boolean) => {
      const machines = aFleet(24).map((machine, at) => {
        const fits = (isShared ? shared[at % 3] : undefined) ?? fitsAt(1 + (at % 3));
        const assignedAt = NOW - (6 + 7 * (at % 5)) * 60_000;
        return { ...machine, fits, assignedAt, model: at % 4 === 0 ? B : A, inFlight: at % 2 };
      });
      return planned(anInput(machines, 50, 300)).moves;
    };
    expect(moves(true).length).toBeGreaterThan(1);
    expect(moves(true)).toEqual(moves(false));
  });

  it("[C14] moves of equal machines the one that was assigned longest ago, then the lowest id", () => {
    const ages = [3, 1, 2, 1, 5].map((age, at) => aMachine(`m${at}`, { assignedAt: age * 1000 }));
    const own = ages.map((machine) => ({ ...machine, fits: { [A]: FIT, [B]: FIT } }));
    for (const machines of [ages, own, own.toReversed()]) {
      const { moves } = planned(anInput(machines, 1, 60), { maxLoadsPerTick: 3 });
      expect(moves.map(({ machineId }) => machineId)).toEqual(["m1", "m3", "m2"]);
    }
  });

  it("[C12] [C14] keeps budgets, caps and floors, in any order of input", () => {
    const machine = fc.record({
      state: fc.constantFrom("serving", "loading", "failed", "offline", "empty", "unmanaged" as const),
      model: fc.constantFrom(A, B),
      inFlight: fc.nat(4),
    });
    fc.assert(
      fc.property(
        fc.array(machine, { maxLength: 20 }),
        fc.nat(99),
        fc.nat(99),
        fc.nat(5),
        fc.nat(5),
        (list, a, b, floor, cap) => {
          const machines = list.map((change, at) =>
            aMachine(`m${at}`, {
              ...change,
              model: change.state === "empty" ? null : change.model,
            }),
          );
          const result = planned(anInput(machines, a, b, floor, cap));
          const reversed = planned(anInput(machines.toReversed(), a, b, floor, cap));
          expect(reversed).toEqual(result);
          expect(result.moves.length).toBeLessThanOrEqual(config.maxLoadsPerTick);
          const [held, other] = result.models.map(({ desired }) => desired);
          const takesOverCap = result.moves.some(({ to }) => to === B) && (other ?? 0) > cap;
          const breaksFloor = result.moves.some(({ from }) => from === A) && (held ?? 0) < floor;
          expect({ takesOverCap, breaksFloor }).toEqual({ takesOverCap: false, breaksFloor: false });
        },
      ),
    );
  });
});
