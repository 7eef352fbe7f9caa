import { poolValue, type Fleet, type Pool, type Seat } from "./fleet.ts";
import type { Move, MoveReason, PlacementConfig, Stay } from "./types.ts";

/**
 * Greedy moves by marginal value: again and again the move that wins the most expected requests/s, after what the donor loses and
 * a gate that stops thrash. Floors come before gains, unmanaged machines before managed ones.

 */

interface Candidate {
  readonly to: number;
  readonly won: number;
  readonly lost: number;
  readonly gate: number;
  readonly reason: MoveReason;
  /** Floors, then live pools without a machine, then gains; among equals unmanaged machines first. */
  readonly tier: number;
}

const GAIN_OF_EMPTY = 1e-6;

export function chooseMoves(
  fleet: Fleet,
  budget: number,
  now: number,
  config: PlacementConfig,
): { moves: Move[]; stays: Stay[] } {
  const { seats, pools } = fleet;
  const moved = new Set<Seat>();
  const moves: Move[] = [];
  const best = seats.map((seat) => bestOf(seat, pools, now, config));
  while (moves.length < budget) {
    const at = largest(best, pools);
    if (at === -1) break;
    const seat = seats[at]!;
    const choice = best[at]!;
    moves.push(moveOf(seat, choice, pools));
    moved.add(seat);
    apply(seat, choice.to, pools);
    // Only two pools changed: other rows are compared with the two new entries.
    const changed = [seat.pool, choice.to];
    for (const [other, candidate] of seats.entries()) {
      const kept = best[other] ?? null;
      const isStale = changed.includes(candidate.pool) || (kept !== null && changed.includes(kept.to));
      if (moved.has(candidate)) best[other] = null;
      else if (isStale) best[other] = bestOf(candidate, pools, now, config);
      else best[other] = bestOf(candidate, pools, now, config, changed, kept);
    }
  }
  const stays = seats.flatMap((seat, at) => (moved.has(seat) ? [] : [stayOf(seat, best[at]!, pools, now)]));
  return { moves, stays };
}

function bestOf(
  seat: Seat,
  pools: readonly Pool[],
  now: number,
  config: PlacementConfig,
  targets?: readonly number[],
  start: Candidate | null = null,
): Candidate | null {
  const { machine, capacities, pool: from } = seat;
  const donor = pools[from];
  if (seat.stays !== null || (donor !== undefined && keepsAll(donor))) return null;
  const lost = donor === undefined ? 0 : donor.value - poolValue(donor, donor.capacity - capacities[from]!);
  let best = start;
  for (const to of targets ?? pools.keys()) {
    const pool = pools[to];
    if (pool === undefined) continue;
    const own = capacities[to]!;
    const { modelId, cap } = pool.model;
    if (own === 0 || to === from || (cap !== null && pool.held >= cap)) continue;
    if ((machine.cooldownUntil[modelId] ?? 0) > now) continue;
    const fit = machine.fits[modelId]!;
    const delay = fit.loadSeconds + (machine.inFlight > 0 ? config.drainSeconds : 0);
    const useful = Math.max(0, 1 - delay / config.horizonSeconds);
    const won = (poolValue(pool, pool.capacity + own) - pool.value) * useful;
    const disk = fit.onDisk ? 1 : 1.25;
    const gate = donor === undefined ? GAIN_OF_EMPTY : config.kappa * seat.best * disk;
    const candidate = { to, won, lost, gate, ...rank(seat, pool, won - lost - gate) };
    if (candidate.tier >= 0 && (best === null || isBetter(candidate, best, pools))) best = candidate;
  }
  return best;
}

/** The last machine, or one at the floor, is not given away. An idle pool without floor gives all. */
function keepsAll(pool: Pool): boolean {
  return pool.held <= pool.keeps || (pool.serving <= 1 && pool.keeps > 0);
}

function rank(seat: Seat, pool: Pool, gain: number): { tier: number; reason: MoveReason } {
  const unmanaged = seat.machine.state === "unmanaged" ? 1 : 0;
  if (pool.held < pool.model.floor) return { tier: 6 + unmanaged, reason: "floor" };
  if (pool.held < pool.keeps) return { tier: 4 + unmanaged, reason: "demand_gain" };
  if (gain > 0) return { tier: 2 + unmanaged, reason: "demand_gain" };
  return { tier: seat.pool === -1 && pool.mean > 0 ? 0 : -1, reason: "placed_empty" };
}

function isBetter(a: Candidate, b: Candidate, pools: readonly Pool[]): boolean {
  if (a.tier >> 1 !== b.tier >> 1) return a.tier > b.tier;
  const [forA, forB] = [pools[a.to]!, pools[b.to]!];
  if (a.tier >= 4 && forA.model.priority !== forB.model.priority) {
    return forA.model.priority > forB.model.priority;
  }
  if (a.tier !== b.tier) return a.tier > b.tier;
  if (a.tier === 0) return need(forA) > need(forB);
  return a.won - a.lost - a.gate > b.won - b.lost - b.gate;
}

function need(pool: Pool): number {
  return pool.mean / (pool.capacity + 1e-9);
}

function largest(best: readonly (Candidate | null)[], pools: readonly Pool[]): number {
  let at = -1;
  for (const [other, candidate] of best.entries()) {
    if (candidate !== null && (at === -1 || isBetter(candidate, best[at]!, pools))) at = other;
  }
  return at;
}

function apply(seat: Seat, to: number, pools: readonly Pool[]): void {
  const donor = pools[seat.pool];
  if (donor !== undefined) {
    donor.capacity -= seat.capacities[seat.pool]!;
    donor.held -= 1;
    donor.serving -= 1;
    donor.value = poolValue(donor, donor.capacity);
  }
  const target = pools[to]!;
  target.capacity += seat.capacities[to]!;
  target.held += 1;
  target.loading += 1;
  target.value = poolValue(target, target.capacity);
}

function moveOf({ machine }: Seat, choice: Candidate, pools: readonly Pool[]): Move {
  const { won, lost, gate, reason } = choice;
  const from = machine.model;
  return { machineId: machine.machineId, from, to: pools[choice.to]!.model.modelId, reason, won, lost, gate };
}

function stayOf(seat: Seat, best: Candidate | null, pools: readonly Pool[], now: number): Stay {
  const { machine, stays } = seat;
  const bestTarget = best === null ? null : pools[best.to]!.model.modelId;
  const bestGain = best === null ? null : best.won - best.lost - best.gate;
  return {
    machineId: machine.machineId,
    reason: stays ?? reasonOf(seat, best, pools, now),
    bestTarget,
    bestGain,
  };
}

function reasonOf(seat: Seat, best: Candidate | null, pools: readonly Pool[], now: number): Stay["reason"] {
  if (best !== null) return "budget";
  const donor = pools[seat.pool];
  if (donor !== undefined && keepsAll(donor)) {
    return donor.held <= donor.model.floor ? "pool_at_floor" : "last_of_pool";
  }
  const others = pools.filter((_, at) => at !== seat.pool && seat.capacities[at]! > 0);
  const cooling = others.every(({ model }) => (seat.machine.cooldownUntil[model.modelId] ?? 0) > now);
  return others.length > 0 && cooling ? "cooldown" : "no_gain";
}
