import { ownValue } from "../own-value.ts";
import { estimate } from "./demand.ts";
import { fleetOf, type Fleet } from "./fleet.ts";
import { frozenBy } from "./freeze.ts";
import type { KnownModel } from "./kinds.ts";
import { chooseMoves } from "./moves.ts";
import type { Pool } from "./pools.ts";
import type {
  ModelPlan,
  ModelSupply,
  PlacementConfig,
  PlacementInput,
  PlacementState,
  Plan,
  Stay,
} from "./types.ts";

/**
 * One tick of placement: learns from the counts, values every pool's capacity and says which machines should hold another model.
 * Pure, and independent of the order of its input: everything is sorted by id first.
 */
export function plan(state: PlacementState, input: PlacementInput, config: PlacementConfig): Plan {
  const { now } = input;
  const machines = input.machines.toSorted((a, b) => compare(a.machineId, b.machineId));
  const hasStarted = hasEverArrived(state, input);
  const models = learned(state, input, hasStarted, config);
  const fleet = fleetOf(models, machines, now, config);
  const freeze = frozenBy(state, now, machines, config);
  const supply = fleet.pools.map(supplyOf);
  const isFrozen = now < freeze.frozenUntil;
  const budget = isFrozen ? 0 : budgetOf(fleet, config);
  // After a restart nothing is known of demand, so what machines hold beyond the floors stays until a first arrival.
  const { moves, stays } = chooseMoves(fleet, budget, now, config, !hasStarted);
  const unmoved = isFrozen ? "frozen" : hasStarted ? null : "no_demand_seen";
  const halted = moves.length === 0 ? unmoved : null;
  return {
    state: {
      ...freeze,
      estimates: Object.fromEntries(models.map(({ model, estimate: known }) => [model.modelId, known])),
    },
    moves,
    halted,
    budget: halted === null ? budget : 0,
    machines: unmoved === null ? stays : stays.map((stay): Stay => ({ ...stay, reason: unmoved })),
    models: fleet.pools.map(reported),
    supply,
  };
}

/** All models, with what is known of their demand after this tick. */
function learned(
  { estimates }: PlacementState,
  { models, demand, elapsedSeconds }: PlacementInput,
  hasStarted: boolean,
  config: PlacementConfig,
): KnownModel[] {
  const counted = new Map(demand.map((tick) => [tick.modelId, tick]));
  const seconds = elapsedSeconds > 0 ? elapsedSeconds : config.tickSeconds;
  const sorted = models.toSorted((a, b) => compare(a.modelId, b.modelId));
  return sorted.map((model) => {
    const [last, tick] = [ownValue(estimates, model.modelId), counted.get(model.modelId)];
    return { model, estimate: estimate(last, tick, seconds, hasStarted, config) };
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function hasEverArrived({ estimates }: PlacementState, { demand }: PlacementInput): boolean {
  return (
    demand.some(({ offered }) => offered > 0) || Object.values(estimates).some(({ fast }) => fast !== null)
  );
}

/** Orders that may be sent now. */
function budgetOf({ pending }: Fleet, { maxLoadsPerTick, maxPendingLoads }: PlacementConfig): number {
  return Math.max(0, Math.min(maxLoadsPerTick, maxPendingLoads - pending));
}

function supplyOf({ model, capacity, held }: Pool): ModelSupply {
  return { modelId: model.modelId, capacity, machines: held };
}

function reported(pool: Pool): ModelPlan {
  const { model, mean, deviation, capacity, held, serving, loading, perMachine } = pool;
  return {
    modelId: model.modelId,
    demand: mean,
    deviation,
    capacity,
    demandMachines: perMachine === 0 ? 0 : Math.ceil(mean / perMachine),
    desired: held,
    serving,
    loading,
  };
}
