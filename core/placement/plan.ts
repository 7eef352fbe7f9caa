import { ownValue } from "../own-value.ts";
import { estimate } from "./demand.ts";
import { fleetOf } from "./fleet.ts";
import { chooseMoves } from "./moves.ts";
import type { Pool } from "./pools.ts";
import type {
  ModelPlan,
  PlacementConfig,
  PlacementInput,
  PlacementState,
  Plan,
  StayReason,
} from "./types.ts";

/**
 * One tick of placement: learns from the counts, values every pool's capacity and says which machines should hold another model.
 * Pure, and independent of the order of its input: everything is sorted by id first.
 */
export function plan(state: PlacementState, input: PlacementInput, config: PlacementConfig): Plan {
  const { now } = input;
  const models = input.models.toSorted((a, b) => compare(a.modelId, b.modelId));
  const machines = input.machines.toSorted((a, b) => compare(a.machineId, b.machineId));
  const counted = new Map(input.demand.map((tick) => [tick.modelId, tick]));
  const seconds = input.elapsedSeconds > 0 ? input.elapsedSeconds : config.tickSeconds;
  const hasStarted =
    input.demand.some(({ offered }) => offered > 0) ||
    Object.values(state.estimates).some(({ fast }) => fast !== null);
  const known = models.map((model) => ({
    model,
    estimate: estimate(
      ownValue(state.estimates, model.modelId),
      counted.get(model.modelId),
      seconds,
      hasStarted,
      config,
    ),
  }));
  const count = machines.filter((machine) => machine.state !== "offline").length;
  const next = watch(state, now, count, config);
  const fleet = fleetOf(known, machines, now, config);
  const halt = haltOf(hasStarted, now < next.frozenUntil);
  const room = Math.min(config.maxLoadsPerTick, config.maxPendingLoads - fleet.pending);
  const budget = halt === null ? Math.max(0, room) : 0;
  const { moves, stays } = chooseMoves(fleet, budget, now, config);
  return {
    state: {
      ...next,
      estimates: Object.fromEntries(known.map((each) => [each.model.modelId, each.estimate])),
    },
    moves,
    budget,
    machines: halt === null ? stays : stays.map((stay) => ({ ...stay, reason: halt })),
    models: fleet.pools.map(reported),
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** After a restart nothing is known: what machines hold stays until a first arrival. */
function haltOf(hasStarted: boolean, isFrozen: boolean): StayReason | null {
  if (isFrozen) return "frozen";
  return hasStarted ? null : "no_demand_seen";
}

/** At least this many machines must vanish at once before it is taken for a fault of the network. */
const LEAST_VANISHED = 3;

function watch(
  { online, frozenUntil }: PlacementState,
  now: number,
  count: number,
  config: PlacementConfig,
): { online: PlacementState["online"]; frozenUntil: number } {
  const recent = online.filter(({ at }) => now - at <= config.vanishWindowSeconds * 1000);
  const most = recent.reduce((highest, seen) => Math.max(highest, seen.count), count);
  const vanished = most - count;
  const isMass = vanished >= LEAST_VANISHED && vanished > config.vanishShare * most;
  return {
    online: [...recent, { at: now, count }],
    frozenUntil: isMass ? now + config.freezeSeconds * 1000 : frozenUntil,
  };
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
