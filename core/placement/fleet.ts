import { ownValue } from "../own-value.ts";
import { planningRate } from "./demand.ts";
import type {
  Fitness,
  ModelEstimate,
  PlacementConfig,
  PlacementMachine,
  PlacementModel,
  StayReason,
} from "./types.ts";
import { expectedServed, shortChance } from "./value.ts";

/** The planner's working copy of the fleet: pools with their capacity, and what each kind of machine can serve. */

export interface KnownModel {
  readonly model: PlacementModel;
  readonly estimate: ModelEstimate;
}

export interface Pool {
  readonly index: number;
  readonly model: PlacementModel;
  readonly mean: number;
  readonly deviation: number;
  /** Of the demand's counts: near 1 if they come at random, far above it if in bursts. */
  readonly roughness: number;
  readonly weight: number;
  /** Machines the pool keeps: the operator's floor, and one while there is demand. */
  readonly keeps: number;
  /** Mean requests/s of one machine that fits. */
  readonly perMachine: number;
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

/** Machines with the same `fits` object. */
export interface Kind {
  readonly fits: PlacementMachine["fits"];
  machines: number;
  /** Requests/s per pool: slots / (prompt / prefill + output / decode), 0 where it does not fit or is too slow. */
  readonly capacities: Float64Array;
  readonly best: number;
}

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

/** In so many seconds the recency of a move falls to 1/e. */
const RECENCY_SECONDS = 3600;

export interface Fleet {
  readonly pools: readonly Pool[];
  readonly seats: readonly Seat[];
  /** Loads in flight before their deadline. */
  readonly pending: number;
}

export function fleetOf(
  models: readonly KnownModel[],
  machines: readonly PlacementMachine[],
  now: number,
  config: PlacementConfig,
): Fleet {
  const kinds = kindsOf(models, machines, config);
  const pools = models.map((known, index) => emptyPool(known, index, [...kinds.values()], config));
  const byModel = new Map(pools.map((pool) => [pool.model.modelId, pool]));
  const seats = machines.flatMap((machine): Seat[] => {
    const kind = kinds.get(machine.fits);
    if (kind === undefined) return [];
    // One that is too slow for its model is no supply, but it serves, and may be all that its pool has.
    const pool =
      machine.model === null || !counts(machine, now) ? null : (byModel.get(machine.model) ?? null);
    if (pool !== null) addTo(pool, capacityIn(kind, pool), isMoving(machine));
    return [
      {
        machine,
        kind,
        pool,
        stays: immovable(machine, kind.best, now, config),
        recency: recencyOf(machine, now),
      },
    ];
  });
  for (const pool of pools) revalue(pool);
  const pending = machines.filter((machine) => isMoving(machine) && counts(machine, now)).length;
  return { pools, seats, pending };
}

export function capacityIn(kind: Kind, pool: Pool): number {
  return kind.capacities[pool.index] ?? 0;
}

export function poolValue(pool: Pool, capacity: number): number {
  return pool.weight * expectedServed(pool.mean, pool.deviation, Math.max(0, capacity));
}

/** Moves the capacity of one machine from one pool to another. */
export function transfer(kind: Kind, from: Pool | null, to: Pool): void {
  if (from !== null) {
    from.capacity -= capacityIn(kind, from);
    if (capacityIn(kind, from) > 0) from.held -= 1;
    from.serving -= 1;
    revalue(from);
  }
  addTo(to, capacityIn(kind, to), true);
  revalue(to);
}

function addTo(pool: Pool, capacity: number, isLoading: boolean): void {
  pool.capacity += capacity;
  if (capacity > 0) pool.held += 1;
  if (isLoading) pool.loading += 1;
  else pool.serving += 1;
}

function revalue(pool: Pool): void {
  pool.value = poolValue(pool, pool.capacity);
  pool.slope = pool.weight * shortChance(pool.mean, pool.deviation, Math.max(0, pool.capacity));
}

function kindsOf(
  models: readonly KnownModel[],
  machines: readonly PlacementMachine[],
  config: PlacementConfig,
): Map<PlacementMachine["fits"], Kind> {
  const kinds = new Map<PlacementMachine["fits"], Kind>();
  // One buffer for all: thousands of small ones cost more than the plan.
  const buffer = new Float64Array(new Set(machines.map(({ fits }) => fits)).size * models.length);
  for (const { fits } of machines) {
    let kind = kinds.get(fits);
    if (kind === undefined) {
      const start = kinds.size * models.length;
      const capacities = buffer.subarray(start, start + models.length);
      let [index, best] = [0, 0];
      for (const { model, estimate } of models) {
        const fit = ownValue(fits, model.modelId);
        const capacity = fit === undefined ? 0 : requestsPerSecond(fit, estimate, config);
        if (capacity > best) best = capacity;
        capacities[index] = capacity;
        index += 1;
      }
      kind = { fits, machines: 0, capacities, best };
      kinds.set(fits, kind);
    }
    kind.machines += 1;
  }
  return kinds;
}

/** What a machine can serve of a model; 0 if it would be too slow. */
export function requestsPerSecond(
  fit: Fitness,
  request: TokensPerRequest,
  { decodeFloorTps }: Pick<PlacementConfig, "decodeFloorTps">,
): number {
  return fit.decodeTps < decodeFloorTps ? 0 : fit.slots / secondsOf(fit, request);
}

/** Means. */
type TokensPerRequest = Pick<ModelEstimate, "promptTokens" | "outputTokens">;

/** Whatever machines say that a request takes: an answer without a token would make room for any number of them. */
const LEAST_SECONDS = 0.001;

/** How long one request takes. */
function secondsOf({ prefillTps, decodeTps }: Fitness, request: TokensPerRequest): number {
  return Math.max(LEAST_SECONDS, request.promptTokens / prefillTps + request.outputTokens / decodeTps);
}

/** Counts are means over a tick: within it, demand that does not come at random swings the more. */
const SWING_WITHIN_TICK = 3;

/**
 * Of the demand, requests/s. Requests in service vary by chance like their number (square-root staffing: small pools get more
 * headroom); what the counts vary beyond chance comes on top, as it was measured, for a tick.
 */
function deviationOf(dispersion: number, mean: number, serviceSeconds: number, tickSeconds: number): number {
  const byChance = mean / serviceSeconds;
  const beyond = (Math.max(0, dispersion - 1) * mean) / tickSeconds;
  return Math.sqrt(byChance + SWING_WITHIN_TICK * beyond + 1e-9);
}

/** Of more kinds than this, evenly spaced ones are taken for a median. */
const MEDIAN_SAMPLE = 256;

/** Median over the machines that can serve a pool of how long one of its requests takes. */
function medianSeconds({ model, estimate }: KnownModel, index: number, kinds: readonly Kind[]): number {
  const stride = Math.ceil(kinds.length / MEDIAN_SAMPLE);
  const sample: { seconds: number; machines: number }[] = [];
  for (let at = 0; at < kinds.length; at += stride) {
    const kind = kinds[at];
    if (kind === undefined || (kind.capacities[index] ?? 0) === 0) continue;
    const fit = ownValue(kind.fits, model.modelId);
    if (fit === undefined) continue;
    sample.push({ seconds: secondsOf(fit, estimate), machines: kind.machines });
  }
  sample.sort((a, b) => a.seconds - b.seconds);
  let left = sample.reduce((sum, { machines }) => sum + machines, 0) / 2;
  for (const { seconds, machines } of sample) {
    left -= machines;
    if (left < 0) return seconds;
  }
  return sample.at(-1)?.seconds ?? 1;
}

function emptyPool(known: KnownModel, index: number, kinds: readonly Kind[], config: PlacementConfig): Pool {
  const { model, estimate } = known;
  const mean = planningRate(estimate);
  let [fitting, sum] = [0, 0];
  for (const { machines, capacities } of kinds) {
    const own = capacities[index] ?? 0;
    if (own > 0) fitting += machines;
    sum += machines * own;
  }
  return {
    index,
    model,
    mean,
    deviation: deviationOf(estimate.dispersion, mean, medianSeconds(known, index, kinds), config.tickSeconds),
    roughness: estimate.roughness,
    weight: model.priority * (1 + config.fairness * estimate.missShare),
    keeps: Math.max(model.floor, mean > 0 ? 1 : 0),
    perMachine: fitting === 0 ? 0 : sum / fitting,
    capacity: 0,
    held: 0,
    serving: 0,
    loading: 0,
    value: 0,
    slope: 0,
  };
}

function isMoving({ state }: PlacementMachine): boolean {
  return state === "draining" || state === "loading";
}

function recencyOf({ state, assignedAt }: PlacementMachine, now: number): number {
  return state === "unmanaged" ? 0 : Math.exp(-Math.max(0, now - assignedAt) / 1000 / RECENCY_SECONDS);
}

/** Failed, offline, cordoned and empty machines are no supply; a load in flight is one until its deadline. */
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
  if (machine.state === "offline" || machine.state === "cordoned") return machine.state;
  if (isMoving(machine)) return "moving";
  if (!machine.isManageable) return "unmanageable";
  if (machine.isPinned) return "pinned";
  if (best === 0) return "nothing_fits";
  const isYoung = now - machine.assignedAt < config.minDwellSeconds * 1000;
  return machine.state === "serving" && isYoung ? "dwell" : null;
}
