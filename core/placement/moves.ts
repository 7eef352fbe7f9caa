import type { ModelId } from "../../protocol/ids.ts";
import { capacityIn, poolValue, transfer, type Fleet, type Kind, type Pool, type Seat } from "./fleet.ts";
import type { Move, MoveReason, PlacementConfig, Stay, StayReason } from "./types.ts";

/**
 * Greedy moves by marginal value: again and again the move that wins the most expected requests/s, after what the donor loses and
 * a gate that stops thrash. Floors come before gains; unmanaged machines pay a smaller gate.
 */

interface Candidate {
  readonly to: Pool;
  readonly won: number;
  readonly lost: number;
  readonly gate: number;
  readonly gain: number;
  /** Demand of the target per capacity. */
  readonly need: number;
  readonly reason: MoveReason;
  readonly tier: number;
}

/** Machines that are alike for every move: of one kind, in one pool, without a cool-down. The planner compares groups. */
interface Group {
  readonly kind: Kind;
  readonly pool: Pool | null;
  readonly drains: boolean;
  readonly isUnmanaged: boolean;
  readonly cooling: ReadonlySet<string>;
  /** Longest assigned first; those before `moved` have moved. */
  readonly seats: Seat[];
  moved: number;
  /** What its pool loses with one of them. */
  lost: number;
  best: Candidate | null;
  /** The best move may be worth less by now, but not more. */
  isBound: boolean;
}

/** Floors, then pools with demand and no machine, then gains; what gains nothing is only for a machine that holds nothing. */
const TIER = { floor: 3, first: 2, gain: 1, empty: 0 } as const;

const GAIN_OF_EMPTY = 1e-6;

/** Weights that have to be downloaded first raise the gate by this share. */
const DOWNLOAD_SURCHARGE = 0.25;

/** Share of the gate that an unmanaged machine pays: it was placed by nobody, so no placement is undone. */
const UNMANAGED_GATE = 0.5;

/**
 * The gate is at most this share of what the machine can serve in the target. A large model is served slowly: measured by the
 * fastest model of the machine alone, no move to its pool would ever pay.
 */
const GATE_MOST = 0.3;

/** What a load adds to the gate at most, as a share of the machine's best capacity: more would hold back what pays. */
const LOAD_SHARE_MOST = 0.14;

/**
 * What a move that was just made adds to the stake of the next, as a share of the smaller of what the machine serves now and would
 * serve. Else the few that serve most pay first for every change, and go back and forth.
 */
const RECENCY_SURCHARGE = 0.3;

/** From this roughness on demand comes in bursts that are over before a load is, and each more adds so much to the gate. */
const ROUGH = { from: 6, surcharge: 0.25 } as const;

export function chooseMoves(
  fleet: Fleet,
  budget: number,
  now: number,
  config: PlacementConfig,
): { moves: Move[]; stays: Stay[] } {
  const { seats, pools } = fleet;
  const groups = groupsOf(seats, now);
  const moves: Move[] = [];
  for (const group of groups) evaluate(group, pools, config);
  while (moves.length < budget) {
    const group = leading(groups, pools, config);
    const choice = group?.best ?? null;
    const seat = group?.seats[group.moved];
    if (group === null || choice === null || seat === undefined) break;
    moves.push(moveOf(seat, choice));
    group.moved += 1;
    transfer(group.kind, group.pool, choice.to);
    for (const other of groups) notice(other, group.pool, choice.to, pools, config);
  }
  for (const group of groups) if (group.isBound) evaluate(group, pools, config);
  const moved = new Set(groups.flatMap((group) => group.seats.slice(0, group.moved)));
  return { moves, stays: staysOf(seats, groups, moved, pools) };
}

function groupsOf(seats: readonly Seat[], now: number): Group[] {
  const alike = new Map<Kind, Map<number, Group>>();
  const groups: Group[] = [];
  // Seats come sorted by id, and sorting keeps the order of equals.
  const movable = seats.filter(({ stays }) => stays === null);
  for (const seat of movable.sort((a, b) => a.machine.assignedAt - b.machine.assignedAt)) {
    const { machine, kind, pool } = seat;
    const drains = machine.inFlight > 0;
    const isUnmanaged = machine.state === "unmanaged";
    const cooling = coolingOf(machine.cooldownUntil, now);
    const key = ((pool?.index ?? -1) + 1) * 4 + (drains ? 2 : 0) + (isUnmanaged ? 1 : 0);
    const mayShare = cooling.size === 0 && kind.machines > 1;
    const known = mayShare ? alike.get(kind)?.get(key) : undefined;
    if (known !== undefined) {
      known.seats.push(seat);
      continue;
    }
    const group = {
      kind,
      pool,
      drains,
      isUnmanaged,
      cooling,
      seats: [seat],
      moved: 0,
      lost: 0,
      best: null,
      isBound: false,
    };
    groups.push(group);
    if (mayShare) alike.set(kind, (alike.get(kind) ?? new Map<number, Group>()).set(key, group));
  }
  return groups;
}

const NOTHING: ReadonlySet<string> = new Set();

function coolingOf(until: Readonly<Record<ModelId, number>>, now: number): ReadonlySet<string> {
  let cooling: Set<string> | null = null;
  for (const modelId in until) {
    if ((Reflect.get(until, modelId) ?? 0) > now) cooling = (cooling ?? new Set()).add(modelId);
  }
  return cooling ?? NOTHING;
}

function evaluate(group: Group, pools: readonly Pool[], config: PlacementConfig): void {
  const { kind, pool } = group;
  group.lost = pool === null ? 0 : pool.value - poolValue(pool, pool.capacity - capacityIn(kind, pool));
  group.best = bestOf(group, config, pools, null);
  group.isBound = false;
}

/**
 * After a move. Values are concave, so only moves to the donor and moves out of the target became worth more: those are compared at
 * once. What became worth less is kept as a bound, and evaluated when it would lead.
 */
function notice(
  group: Group,
  from: Pool | null,
  to: Pool,
  pools: readonly Pool[],
  config: PlacementConfig,
): void {
  if (group.pool === to || (from !== null && group.best?.to === from)) {
    evaluate(group, pools, config);
    return;
  }
  if (group.best?.to === to || group.pool === from) group.isBound = true;
  if (from !== null && group.pool !== from) group.best = bestOf(group, config, [from], group.best);
}

function bestOf(
  group: Group,
  config: PlacementConfig,
  targets: readonly Pool[],
  start: Candidate | null,
): Candidate | null {
  const { kind, pool: from, cooling, lost } = group;
  if (group.moved === group.seats.length || (from !== null && isKept(kind, from))) return null;
  const { capacities, fits } = kind;
  const drain = group.drains ? config.drainSeconds : 0;
  const stake = kind.best * (group.isUnmanaged ? UNMANAGED_GATE : 1);
  const held = from === null ? 0 : capacityIn(kind, from);
  const recent = RECENCY_SURCHARGE * (nextSeat(group)?.recency ?? 0);
  let best = start;
  let enough = enoughFor(from, lost, best);
  for (const to of targets) {
    const own = capacities[to.index] ?? 0;
    if (own === 0 || to === from) continue;
    const atStake = stake + recent * Math.min(own, held);
    const gateAtMost = from === null ? GAIN_OF_EMPTY : GATE_MOST * own;
    // The value is concave: no more than its slope can be won, and no gate is lower than without a load.
    const isPoor = to.slope * own <= enough + Math.min(config.kappa * atStake, gateAtMost);
    if (isPoor && to.held >= to.keeps) continue;
    const { modelId, cap } = to.model;
    if ((cap !== null && to.held >= cap) || cooling.has(modelId)) continue;
    const fit = fits[modelId];
    if (fit === undefined) continue;
    const share = shareFor(fit.loadSeconds, Math.max(to.roughness, from?.roughness ?? 0), config);
    const gateOnDisk = Math.min(share * atStake, gateAtMost);
    const useful = Math.max(0, 1 - (fit.loadSeconds + drain) / config.horizonSeconds);
    const won = (poolValue(to, to.capacity + own) - to.value) * useful;
    const gate = from === null || fit.onDisk ? gateOnDisk : gateOnDisk * (1 + DOWNLOAD_SURCHARGE);
    const candidate = candidateOf(from, { to, won, lost, gate, gain: won - lost - gate, need: need(to) });
    if (candidate === null || (best !== null && !isBetter(candidate, best))) continue;
    best = candidate;
    enough = enoughFor(from, lost, best);
  }
  return best;
}

/** The gate of a move as a share of the machine's best capacity; never below `kappa`. */
function shareFor(loadSeconds: number, roughness: number, config: PlacementConfig): number {
  const { kappa, reloadRisk, horizonSeconds } = config;
  const share = kappa + Math.min(LOAD_SHARE_MOST, (reloadRisk * loadSeconds) / horizonSeconds);
  return share * (1 + ROUGH.surcharge * Math.max(0, roughness - ROUGH.from));
}

/** What a pool above its floor must win beside the gate to be considered. Any pool will do for a machine that holds nothing. */
function enoughFor(from: Pool | null, lost: number, best: Candidate | null): number {
  const gain = best?.gain ?? 0;
  return gain <= 0 && from === null ? -Infinity : lost + Math.max(0, gain);
}

/**
 * The last machine that serves, or one at the floor, is not given away; one that is too slow for its model is none of those at
 * the floor. An idle pool without floor gives all.
 */
function isKept(kind: Kind, pool: Pool): boolean {
  if (pool.keeps === 0) return false;
  return pool.serving <= 1 || (capacityIn(kind, pool) > 0 && pool.held <= pool.keeps);
}

function candidateOf(from: Pool | null, value: Omit<Candidate, "tier" | "reason">): Candidate | null {
  const { to, gain } = value;
  if (to.held < to.model.floor) return { ...value, tier: TIER.floor, reason: "floor" };
  if (to.held < to.keeps) return { ...value, tier: TIER.first, reason: "first_machine" };
  if (gain > 0) return { ...value, tier: TIER.gain, reason: "demand_gain" };
  return from === null && to.mean > 0 ? { ...value, tier: TIER.empty, reason: "placed_empty" } : null;
}

function isBetter(a: Candidate, b: Candidate): boolean {
  if (a.tier !== b.tier) return a.tier > b.tier;
  if (a.tier >= TIER.first && a.to.model.priority !== b.to.model.priority) {
    return a.to.model.priority > b.to.model.priority;
  }
  if (a.tier === TIER.empty) return a.need > b.need;
  return a.gain > b.gain;
}

function need(pool: Pool): number {
  return pool.mean / (pool.capacity + 1e-9);
}

function leading(groups: readonly Group[], pools: readonly Pool[], config: PlacementConfig): Group | null {
  let leader: Group | null = null;
  let best: Candidate | null = null;
  for (const group of groups) {
    if (!leads(group, leader, best)) continue;
    if (group.isBound) {
      evaluate(group, pools, config);
      if (!leads(group, leader, best)) continue;
    }
    leader = group;
    best = group.best;
  }
  return leader;
}

/** Of equal moves, that of the machine which was assigned longest ago, so that all share the switches. */
function leads(group: Group, leader: Group | null, best: Candidate | null): boolean {
  if (group.best === null) return false;
  if (best === null || isBetter(group.best, best)) return true;
  return !isBetter(best, group.best) && isEarlier(nextSeat(group), leader === null ? null : nextSeat(leader));
}

function nextSeat(group: Group): Seat | null {
  return group.seats[group.moved] ?? null;
}

function isEarlier(a: Seat | null, b: Seat | null): boolean {
  if (a === null || b === null) return false;
  if (a.machine.assignedAt !== b.machine.assignedAt) return a.machine.assignedAt < b.machine.assignedAt;
  return a.machine.machineId < b.machine.machineId;
}

function moveOf({ machine, pool }: Seat, { to, won, lost, gate, reason }: Candidate): Move {
  const { machineId } = machine;
  return { machineId, from: pool?.model.modelId ?? null, to: to.model.modelId, reason, won, lost, gate };
}

function staysOf(
  seats: readonly Seat[],
  groups: readonly Group[],
  moved: ReadonlySet<Seat>,
  pools: readonly Pool[],
): Stay[] {
  const verdicts = new Map<Seat, Omit<Stay, "machineId">>();
  for (const group of groups) {
    const { best } = group;
    const verdict = {
      reason: reasonOf(group, pools),
      bestTarget: best?.to.model.modelId ?? null,
      bestGain: best?.gain ?? null,
    };
    for (const seat of group.seats) verdicts.set(seat, verdict);
  }
  return seats.flatMap((seat): Stay[] => {
    if (moved.has(seat)) return [];
    const { machineId } = seat.machine;
    const { reason, bestTarget, bestGain } = verdicts.get(seat) ?? NO_TARGET;
    return [{ machineId, reason: seat.stays ?? reason, bestTarget, bestGain }];
  });
}

const NO_TARGET = { reason: "no_gain", bestTarget: null, bestGain: null } as const;

function reasonOf({ kind, pool, cooling, best }: Group, pools: readonly Pool[]): StayReason {
  if (best !== null) return "budget";
  if (pool !== null && isKept(kind, pool)) {
    return pool.held <= pool.model.floor ? "pool_at_floor" : "last_of_pool";
  }
  if (cooling.size === 0) return "no_gain";
  const others = pools.filter((other) => other !== pool && capacityIn(kind, other) > 0);
  const areCooling = others.every(({ model }) => cooling.has(model.modelId));
  return others.length > 0 && areCooling ? "cooldown" : "no_gain";
}
