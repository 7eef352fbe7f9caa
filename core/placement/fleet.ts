import type { ModelId } from "../../protocol/ids.ts";
import { planningRate } from "./demand.ts";
import type {
  ModelEstimate,
  PlacementConfig,
  PlacementMachine,
  PlacementModel,
  StayReason,
} from "./types.ts";
import { expectedServed } from "./value.ts";

/** The planner's working copy of the fleet: pools with their capacity, and rows of capacity per machine. Moves change it. */

export interface Pool {
  readonly model: PlacementModel;
  readonly mean: number;
  readonly deviation: number;
  readonly weight: number;
  /** Machines the pool keeps: the operator's floor, and one while there is demand. */
  readonly keeps: number;
  /** Mean requests/s of one machine that fits. */
  readonly perMachine: number;
  capacity: number;
  held: number;
  serving: number;
  loading: number;
  /** Weighted value of the present capacity. */
  value: number;
}

export interface Seat {
  readonly machine: PlacementMachine;
  /** Requests/s per pool, 0 where it cannot be placed. */
  readonly capacities: Float64Array;
  readonly best: number;
  /** Index of the pool that its capacity counts for; -1 for none. */
  readonly pool: number;
  /** Why it cannot move whatever the gain; null if it may. */
  readonly stays: StayReason | null;
}

export interface Fleet {
  readonly pools: readonly Pool[];
  readonly seats: readonly Seat[];
  /** Loads in flight before their deadline. */
  readonly pending: number;
}

export function poolValue(pool: Pool, capacity: number): number {
  return pool.weight * expectedServed(pool.mean, pool.deviation, Math.max(0, capacity));
}

/** Requests/s = slots / (prompt / prefill + output / decode); 0 if it does not fit or is too slow. */
function capacityOf(
  machine: PlacementMachine,
  modelId: ModelId,
  { promptTokens, outputTokens }: ModelEstimate,
  config: PlacementConfig,
): number {
  const fit = machine.fits[modelId];
  if (fit === undefined || fit.decodeTps < config.decodeFloorTps) return 0;
  return fit.slots / (promptTokens / fit.prefillTps + outputTokens / fit.decodeTps);
}

export function fleetOf(
  models: readonly PlacementModel[],
  machines: readonly PlacementMachine[],
  estimates: readonly ModelEstimate[],
  now: number,
  config: PlacementConfig,
): Fleet {
  const index = new Map(models.map(({ modelId }, at) => [modelId, at]));
  const seats = machines.map((machine): Seat => {
    const capacities = new Float64Array(models.length);
    for (const [at, { modelId }] of models.entries()) {
      capacities[at] = capacityOf(machine, modelId, estimates[at]!, config);
    }
    const best = capacities.reduce((most, capacity) => Math.max(most, capacity), 0);
    const holds = machine.model === null ? -1 : (index.get(machine.model) ?? -1);
    const pool = counts(machine, now) && (capacities[holds] ?? 0) > 0 ? holds : -1;
    return { machine, capacities, best, pool, stays: immovable(machine, best, now, config) };
  });
  const pools = models.map((model, at) => poolOf(model, at, estimates[at]!, seats, config));
  const pending = machines.filter((machine) => isMoving(machine) && counts(machine, now)).length;
  return { pools, seats, pending };
}

function poolOf(
  model: PlacementModel,
  at: number,
  estimated: ModelEstimate,
  seats: readonly Seat[],
  config: PlacementConfig,
): Pool {
  const mean = planningRate(estimated);
  let [capacity, held, serving, loading, fitting, busySeconds, sum] = [0, 0, 0, 0, 0, 0, 0];
  for (const { machine, capacities, pool } of seats) {
    const own = capacities[at]!;
    if (own > 0) {
      fitting += 1;
      sum += own;
      busySeconds += machine.fits[model.modelId]!.slots / own;
    }
    if (pool !== at) continue;
    capacity += own;
    held += 1;
    if (isMoving(machine)) loading += 1;
    else serving += 1;
  }
  const secondsEach = fitting === 0 ? 1 : busySeconds / fitting;
  const pool = {
    model,
    mean,
    // Square-root staffing: requests in service vary like dispersion * mean * seconds; small pools get more headroom.
    deviation: Math.sqrt((estimated.dispersion * mean) / secondsEach + 1e-9),
    weight: model.priority * (1 + config.fairness * estimated.missShare),
    keeps: Math.max(model.floor, mean > 0 ? 1 : 0),
    perMachine: fitting === 0 ? 0 : sum / fitting,
    capacity,
    held,
    serving,
    loading,
    value: 0,
  };
  pool.value = poolValue(pool, capacity);
  return pool;
}

export function isMoving({ state }: PlacementMachine): boolean {
  return state === "draining" || state === "loading";
}

/** Failed, offline and empty machines are no supply; a load in flight is one until its deadline. */
function counts(machine: PlacementMachine, now: number): boolean {
  if (isMoving(machine)) return machine.loadDeadlineAt === null || now < machine.loadDeadlineAt;
  return machine.state === "serving" || machine.state === "unmanaged";
}

function immovable(
  machine: PlacementMachine,
  best: number,
  now: number,
  config: PlacementConfig,
): StayReason | null {
  if (machine.state === "offline") return "offline";
  if (isMoving(machine)) return "moving";
  if (!machine.isManageable) return "unmanageable";
  if (machine.isPinned) return "pinned";
  if (best === 0) return "nothing_fits";
  const isYoung = now - machine.assignedAt < config.minDwellSeconds * 1000;
  return machine.state === "serving" && isYoung ? "dwell" : null;
}
