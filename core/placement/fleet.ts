import { withKinds, type Kind, type KnownModel } from "./kinds.ts";
import { addMachine, emptyPool, revalue, type Pool } from "./pools.ts";
import type { PlacementConfig, PlacementMachine, StayReason } from "./types.ts";

/** The planner's working copy of the fleet: every machine with where it counts, and whether it may move at all. */

export interface Seat {
  readonly machine: PlacementMachine;
  readonly kind: Kind;
  /** The pool that it is in or on its way to. */
  readonly pool: Pool | null;
  /** Why it cannot move whatever the gain; null if it may. */
  readonly stays: StayReason | null;
  /** 1 for a machine that was just assigned, falling to 0 over the hours after; 0 as long as nobody has placed it. */
  readonly recency: number;
}

export interface Fleet {
  readonly pools: readonly Pool[];
  readonly seats: readonly Seat[];
  /** Loads in flight before their deadline. */
  readonly pending: number;
}

/** The order of the models is that of the pools, and the order of the machines that of the seats. */
export function fleetOf(
  models: readonly KnownModel[],
  machines: readonly PlacementMachine[],
  now: number,
  config: PlacementConfig,
): Fleet {
  const known = withKinds(models, machines, config);
  const kinds = [...new Set(known.map(({ kind }) => kind))];
  const pools = models.map((model, index) => emptyPool(model, index, kinds, config));
  const byModel = new Map(pools.map((pool) => [pool.model.modelId, pool]));
  const seats = known.map(({ machine, kind }): Seat => {
    const { model } = machine;
    const pool = model === null || !isSupply(machine, now) ? null : (byModel.get(model) ?? null);
    if (pool !== null) addMachine(pool, kind, isMoving(machine));
    const stays = immovableBecause(machine, kind, now, config);
    return { machine, kind, pool, stays, recency: recencyOf(machine, now) };
  });
  for (const pool of pools) revalue(pool);
  const pending = machines.filter((machine) => isMoving(machine) && isSupply(machine, now)).length;
  return { pools, seats, pending };
}

function isMoving({ state }: Pick<PlacementMachine, "state">): boolean {
  return state === "draining" || state === "loading";
}

/** What is neither serving nor on its way is no supply; a load in flight is one until its deadline. */
export function isSupply(machine: Pick<PlacementMachine, "state" | "loadDeadlineAt">, now: number): boolean {
  if (isMoving(machine)) return machine.loadDeadlineAt === null || now < machine.loadDeadlineAt;
  return machine.state === "serving" || machine.state === "unmanaged";
}

function immovableBecause(
  machine: PlacementMachine,
  kind: Kind,
  now: number,
  config: PlacementConfig,
): StayReason | null {
  if (machine.state === "offline" || machine.state === "cordoned") return machine.state;
  if (isMoving(machine)) return "moving";
  if (!machine.isManageable) return "unmanageable";
  if (machine.state === "not_routable") return machine.state;
  if (machine.isPinned) return "pinned";
  if (kind.best === 0) return "nothing_fits";
  const isYoung = now - machine.assignedAt < config.minDwellSeconds * 1000;
  return machine.state === "serving" && isYoung ? "dwell" : null;
}

/** In so many seconds the recency of a move falls to 1/e. */
const RECENCY_SECONDS = 3600;

function recencyOf({ state, assignedAt }: PlacementMachine, now: number): number {
  return state === "unmanaged" ? 0 : Math.exp(-Math.max(0, now - assignedAt) / 1000 / RECENCY_SECONDS);
}
