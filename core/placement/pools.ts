import { lastingRate, planningRate } from "./demand.ts";
import { medianSeconds, type Kind, type KnownModel } from "./kinds.ts";
import { cautionOf, surchargeOf } from "./rough.ts";
import type { PlacementConfig, PlacementModel } from "./types.ts";
import { expectedServed, shortChance } from "./value.ts";

/** The pools of one plan: what each is asked for, what its machines can serve and what that is worth. They change with each move. */

export interface Pool {
  readonly index: number;
  readonly model: PlacementModel;
  /** Of the demand, requests/s. */
  readonly mean: number;
  readonly deviation: number;
  /** What will be left of the mean later, requests/s, and how much moves must pay by it as well, 0 to 1. */
  readonly lasting: number;
  readonly caution: number;
  /** Raises the gate while little is known of rough demand, as a share of it. */
  readonly surcharge: number;
  /** Worth of a served request. */
  readonly weight: number;
  /** Machines the pool keeps: the operator's floor, and one while there is demand. */
  readonly keeps: number;
  /** Mean requests/s of one machine that fits. */
  readonly perMachine: number;
  /** Requests/s of the machines held. */
  capacity: number;
  /** Machines that are supply, now or soon: without those that are too slow for the model. */
  held: number;
  /** Machines that serve, too slow ones included. */
  serving: number;
  loading: number;
  /** Weighted value of the present capacity, and of a little more of it. */
  value: number;
  slope: number;
}

/** Without machines yet. */
export function emptyPool(
  known: KnownModel,
  index: number,
  kinds: readonly Kind[],
  config: PlacementConfig,
): Pool {
  const { model, estimate } = known;
  const mean = planningRate(estimate);
  return {
    index,
    model,
    mean,
    deviation: deviationOf(estimate.dispersion, mean, medianSeconds(known, index, kinds), config.tickSeconds),
    lasting: lastingRate(estimate),
    caution: cautionOf(estimate),
    surcharge: surchargeOf(estimate),
    // Below 0 while more answers end than requests come: that makes no request worth less.
    weight: model.priority * (1 + config.fairness * Math.max(0, estimate.missShare)),
    keeps: Math.max(model.floor, mean > 0 ? 1 : 0),
    perMachine: meanCapacity(index, kinds),
    capacity: 0,
    held: 0,
    serving: 0,
    loading: 0,
    value: 0,
    slope: 0,
  };
}

/** Counts are means over a tick: within a tick, demand that is not Poisson varies by this factor more. */
const SWING_WITHIN_TICK = 3;

/**
 * Standard deviation of the demand, requests/s. The number of requests in service varies by chance (square-root staffing: small
 * pools get more headroom); what the counts were measured to vary beyond that, over a tick, is added.
 */
function deviationOf(dispersion: number, mean: number, serviceSeconds: number, tickSeconds: number): number {
  const byChance = mean / serviceSeconds;
  const beyond = (Math.max(0, dispersion - 1) * mean) / tickSeconds;
  return Math.sqrt(byChance + SWING_WITHIN_TICK * beyond + 1e-9);
}

/** Of a machine that the pool's model fits. */
function meanCapacity(index: number, kinds: readonly Kind[]): number {
  let [fitting, sum] = [0, 0];
  for (const { machines, capacities } of kinds) {
    const own = capacities[index] ?? 0;
    if (own > 0) fitting += machines;
    sum += machines * own;
  }
  return fitting === 0 ? 0 : sum / fitting;
}

/** Requests/s of one machine in the pool. */
export function capacityIn(kind: Kind, pool: Pool): number {
  return kind.capacities[pool.index] ?? 0;
}

/**
 * Weighted requests/s that the pool would serve with this capacity.
 *
 * @param mean of the demand, requests/s: that of the next minutes, if not said otherwise.
 */
export function poolValue(pool: Pool, capacity: number, mean: number = pool.mean): number {
  return pool.weight * expectedServed(mean, pool.deviation, Math.max(0, capacity));
}

/** What the pool would lose with so much of its capacity, weighted requests/s: nothing, while it has more machines than its cap. */
export function lossOf(pool: Pool, capacity: number): number {
  return isBeyondCap(pool) ? 0 : pool.value - poolValue(pool, pool.capacity - capacity);
}

/** The same of the demand that lasts. */
export function lastingLossOf(pool: Pool, capacity: number): number {
  return isBeyondCap(pool) ? 0 : lastingGainOf(pool, pool.capacity - capacity, capacity);
}

/** What the pool would win by so much more than this capacity if only the demand were there that lasts, weighted requests/s. */
export function lastingGainOf(pool: Pool, capacity: number, more: number): number {
  const { lasting } = pool;
  return poolValue(pool, capacity + more, lasting) - poolValue(pool, capacity, lasting);
}

function isBeyondCap({ held, model: { cap } }: Pool): boolean {
  return cap !== null && held > cap;
}

/** To be called once all machines have been added. */
export function revalue(pool: Pool): void {
  pool.value = poolValue(pool, pool.capacity);
  pool.slope = pool.weight * shortChance(pool.mean, pool.deviation, Math.max(0, pool.capacity));
}

export function addMachine(pool: Pool, kind: Kind, isLoading: boolean): void {
  const capacity = capacityIn(kind, pool);
  pool.capacity += capacity;
  if (capacity > 0) pool.held += 1;
  if (isLoading) pool.loading += 1;
  else pool.serving += 1;
}

function takeServing(pool: Pool, kind: Kind): void {
  const capacity = capacityIn(kind, pool);
  pool.capacity -= capacity;
  if (capacity > 0) pool.held -= 1;
  pool.serving -= 1;
}

/** One machine leaves the pool where it serves, if it is in one, and is on its way to another. */
export function transfer(kind: Kind, from: Pool | null, to: Pool): void {
  if (from !== null) {
    takeServing(from, kind);
    revalue(from);
  }
  addMachine(to, kind, true);
  revalue(to);
}

/**
 * Whether the pool gives away no machine of this kind: the last that serves, or one at the floor. One that is too slow for the
 * model is none of those at the floor. An idle pool without floor gives all.
 */
export function isKept(kind: Kind, pool: Pool): boolean {
  if (pool.keeps === 0) return false;
  return pool.serving <= 1 || (capacityIn(kind, pool) > 0 && pool.held <= pool.keeps);
}
