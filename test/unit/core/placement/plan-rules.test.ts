import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { EMPTY_PLACEMENT_STATE } from "../../../../core/placement/config.ts";
import { plan } from "../../../../core/placement/plan.ts";
import type {
  ModelEstimate,
  Move,
  PlacementConfig,
  PlacementInput,
  PlacementMachine,
  Plan,
} from "../../../../core/placement/types.ts";
import type { ModelId } from "../../../../protocol/ids.ts";
import { randomFleet, unsettledFleet, type RandomFleet } from "./random-fleets.ts";

/** What holds of every plan, whatever the fleet. */

interface Planned {
  readonly config: PlacementConfig;
  readonly input: PlacementInput;
  readonly before: Plan["state"];
  readonly result: Plan;
}

/** The second tick, which knows what the first has learned. */
function secondTick({ config, first, second, rough }: RandomFleet): Planned {
  const { state } = plan(EMPTY_PLACEMENT_STATE, first, config);
  const before = { ...state, estimates: { ...state.estimates } };
  for (const model of rough) {
    const known = before.estimates[model];
    if (known !== undefined) before.estimates[model] = roughened(known);
  }
  return { config, input: second, before, result: plan(before, second, config) };
}

/** Known for hours, and twice as much as is usual. */
function roughened(known: ModelEstimate): ModelEstimate {
  const later = { ...known.later, persistence: { ofFast: 0.1, ofSlow: 0.1 } };
  return { ...known, roughness: 5, averagedSeconds: 40_000, usual: known.slow / 2, later };
}

function ofEvery(check: (planned: Planned) => void, fleets = randomFleet, numRuns = 400): void {
  fc.assert(
    fc.property(fleets, (fleet) => check(secondTick(fleet))),
    { numRuns },
  );
}

function machineOf({ machines }: PlacementInput, { machineId }: Pick<Move, "machineId">): PlacementMachine {
  const machine = machines.find((one) => one.machineId === machineId);
  if (machine === undefined) throw new Error(`${machineId} is not in the fleet`);
  return machine;
}

function isMoving({ state }: PlacementMachine): boolean {
  return state === "draining" || state === "loading";
}

/** Machines of the pool that are supply before the plan: without failed ones, loads that are overdue and those too slow. */
function supplyOf(modelId: ModelId, { machines, now }: PlacementInput, config: PlacementConfig) {
  return machines.filter((machine) => {
    const { model, state, loadDeadlineAt } = machine;
    const isThere = state === "serving" || state === "unmanaged";
    const isComing = isMoving(machine) && (loadDeadlineAt === null || now < loadDeadlineAt);
    return model === modelId && (isThere || isComing) && canServe(machine, modelId, config);
  });
}

function canServe({ fits }: PlacementMachine, model: ModelId, { decodeFloorTps }: PlacementConfig) {
  return (fits[model]?.decodeTps ?? -1) >= decodeFloorTps;
}

/** Each model with what the plan makes of its pool. */
function poolsOf({ config, input, result }: Planned) {
  return input.models.map((model) => {
    const planned = result.models.find(({ modelId }) => modelId === model.modelId);
    if (planned === undefined) throw new Error(`nothing is said of ${model.modelId}`);
    const leaving = result.moves.filter(({ from }) => from === model.modelId);
    const coming = result.moves.filter(({ to }) => to === model.modelId);
    // One that is too slow for the model is none of those that a floor asks for.
    const given = leaving.filter((move) => canServe(machineOf(input, move), model.modelId, config));
    return { ...model, ...planned, leaving, given, coming };
  });
}

function numbersIn(value: unknown): number[] {
  if (typeof value === "number") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

describe("every plan", () => {
  it("[C14] is the same for the same input, in any order, and changes nothing of it", () => {
    ofEvery(({ config, input, before, result }) => {
      const copy = structuredClone(input);
      const mixed = {
        ...input,
        models: input.models.toReversed(),
        machines: input.machines.toReversed(),
        demand: input.demand.toReversed(),
      };
      expect(plan(before, mixed, config)).toEqual(result);
      expect(input).toEqual(copy);
    });
  });

  it("has only numbers in it, survives JSON, and says of each machine that it moves or why it stays", () => {
    ofEvery(({ input, result }) => {
      expect(numbersIn(result).filter((number) => !Number.isFinite(number))).toEqual([]);
      expect(JSON.parse(JSON.stringify(result))).toEqual(result);
      const named = [...result.moves, ...result.machines].map(({ machineId }) => machineId);
      expect(named.sort()).toEqual(input.machines.map(({ machineId }) => machineId).sort());
    });
  });

  it("[C12] [F13] keeps the budgets of orders and of loads in flight", () => {
    ofEvery(({ config, input, result }) => {
      const pending = input.machines.filter(
        (machine) =>
          isMoving(machine) && (machine.loadDeadlineAt === null || input.now < machine.loadDeadlineAt),
      ).length;
      const room = Math.min(config.maxLoadsPerTick, config.maxPendingLoads - pending);
      expect(result.moves.length).toBeLessThanOrEqual(result.budget);
      expect(result.budget).toBeLessThanOrEqual(Math.max(0, room));
    });
  });

  it("[C11] [C13] moves no machine that is young, pinned, withheld, away or moving, nor to what it cannot hold", () => {
    ofEvery(({ config, input, result }) => {
      for (const move of result.moves) {
        const machine = machineOf(input, move);
        const age = machine.state === "serving" ? input.now - machine.assignedAt : Infinity;
        expect(machine).toMatchObject({ isPinned: false, isManageable: true });
        expect(["serving", "unmanaged", "empty", "failed"]).toContain(machine.state);
        expect(age).toBeGreaterThanOrEqual(config.minDwellSeconds * 1000);
        expect(canServe(machine, move.to, config)).toBe(true);
        expect(machine.cooldownUntil[move.to] ?? 0).toBeLessThanOrEqual(input.now);
        expect(move.to).not.toBe(move.from);
      }
    });
  });

  it("[F1] [C9] counts as desired what is supply and what is to come, which is never more than the fleet", () => {
    ofEvery((planned) => {
      const { config, input } = planned;
      const pools = poolsOf(planned);
      for (const { modelId, desired, given, coming } of pools) {
        expect(desired).toBe(supplyOf(modelId, input, config).length - given.length + coming.length);
      }
      const desired = pools.reduce((sum, pool) => sum + pool.desired, 0);
      expect(desired).toBeLessThanOrEqual(input.machines.length);
    });
  });

  it("[C9] [D9] fills no pool above its cap, empties none below its floor, and leaves none in need without a server", () => {
    ofEvery((planned) => {
      for (const { floor, cap, demand, desired, serving, leaving, given, coming } of poolsOf(planned)) {
        const isInNeed = demand > 0 || floor > 0;
        expect({
          isOverfilled: coming.length > 0 && desired > (cap ?? Infinity),
          isBelowFloor: given.length > 0 && desired < floor,
          isDeserted: leaving.length > 0 && isInNeed && serving < 1,
        }).toEqual({ isOverfilled: false, isBelowFloor: false, isDeserted: false });
      }
    });
  });

  it("[C9] sends no machine to demand that a floor could have had", () => {
    ofEvery((planned) => {
      const { config, input, result } = planned;
      const short = poolsOf(planned).filter(
        ({ desired, floor, cap }) => desired < floor && desired < (cap ?? Infinity),
      );
      for (const move of result.moves.filter(({ reason }) => reason !== "floor")) {
        const machine = machineOf(input, move);
        const forgone = short.filter(
          ({ modelId }) =>
            modelId !== move.from &&
            canServe(machine, modelId, config) &&
            (machine.cooldownUntil[modelId] ?? 0) <= input.now,
        );
        expect(forgone).toEqual([]);
      }
    });
  });

  it("makes the moves that it would make one by one, each weighed anew in the fleet as the last one left it", () => {
    const oneByOne = ({ config, input, result }: Planned): void => {
      let machines = input.machines;
      for (const move of result.moves) {
        const next = plan(
          result.state,
          { ...input, machines, demand: [] },
          { ...config, maxLoadsPerTick: 1, maxPendingLoads: 1000 },
        );
        const [chosen] = next.moves;
        expect(chosen?.reason).toBe(move.reason);
        // Of moves that are equal but for the last digits either may come first.
        expect(gainOf(chosen)).toBeCloseTo(gainOf(move), 9);
        machines = machines.map((machine) =>
          machine.machineId === move.machineId
            ? { ...machine, state: "loading", model: move.to, loadDeadlineAt: null }
            : machine,
        );
      }
    };
    ofEvery(oneByOne);
    ofEvery(oneByOne, unsettledFleet, 200);
  });
});

function gainOf(move: Move | undefined): number {
  return move === undefined ? NaN : move.won - move.lost - move.gate;
}
