import { gateLeast, gateOf } from "./gate.ts";
import { nextSeat, type Group } from "./groups.ts";
import { capacityIn, isKept, lastingGainOf, lastingLossOf, poolValue, type Pool } from "./pools.ts";
import type { MoveReason, PlacementConfig } from "./types.ts";

/** Where a group's next machine is worth most: what the new pool wins, less what the old one loses, less the gate. */

export interface Candidate {
  readonly to: Pool;
  /** Weighted requests/s, like those that follow. */
  readonly won: number;
  readonly lost: number;
  readonly gate: number;
  readonly gain: number;
  /** The target's, when this was weighed: the share of its floor that it lacked, else its demand per capacity. */
  readonly need: number;
  readonly reason: Reason;
}

type Reason = Exclude<MoveReason, "adopted">;

/** Floors, then pools with demand and no machine, then gains; what gains nothing is only for a machine that holds nothing. */
const RANK: Readonly<Record<Reason, number>> = {
  floor: 3,
  first_machine: 2,
  demand_gain: 1,
  placed_empty: 0,
};

/**
 * The best of the candidate that is known already and the moves to these pools.
 *
 * @returns null if the machine must stay, or nothing is worth a move.
 */
export function bestMove(
  group: Group,
  targets: readonly Pool[],
  known: Candidate | null,
  config: PlacementConfig,
): Candidate | null {
  const { kind, pool: from, cooling } = group;
  const seat = nextSeat(group);
  if (seat === null || (from !== null && isKept(kind, from))) return null;
  const { recency } = seat;
  let best = known;
  let enough = enoughFor(group, best);
  for (const to of targets) {
    const own = capacityIn(kind, to);
    if (own === 0 || to === from) continue;
    // The value is concave, so no more than its slope can be won: most targets need no closer look.
    const isPoor = to.slope * own <= enough + gateLeast(group, own, recency, config);
    if (isPoor && to.held >= to.keeps) continue;
    const { modelId, cap } = to.model;
    if ((cap !== null && to.held >= cap) || cooling.has(modelId)) continue;
    const candidate = weighed(group, to, own, recency, config);
    if (candidate === null || (best !== null && !isBetter(candidate, best))) continue;
    best = candidate;
    enough = enoughFor(group, best);
  }
  return best;
}

/** What a pool that has what it keeps must win beside the gate. Any pool will do for a machine that holds nothing. */
function enoughFor({ pool, lost }: Group, best: Candidate | null): number {
  const gain = best?.gain ?? 0;
  return gain <= 0 && pool === null ? -Infinity : lost + Math.max(0, gain);
}

function weighed(
  group: Group,
  to: Pool,
  own: number,
  recency: number,
  config: PlacementConfig,
): Candidate | null {
  const fit = group.kind.fits[to.model.modelId];
  if (fit === undefined) return null;
  const useful = Math.max(0, 1 - (fit.loadSeconds + group.drainSeconds) / config.horizonSeconds);
  const { won, lost } = worthOf(group, to, own, useful);
  const gate = gateOf(group, to, own, recency, fit, config);
  const gain = won - lost - gate;
  const reason = reasonOf(group, to, gain);
  return reason === null ? null : { to, won, lost, gate, gain, need: needOf(to, reason), reason };
}

/**
 * What the new pool wins and the old one loses: by the demand of the next minutes, and where that is rough also by the demand that
 * lasts, if the move gains less by that.
 *
 * @param useful share of the horizon that is left after drain and load.
 */
function worthOf(group: Group, to: Pool, own: number, useful: number): Pick<Candidate, "won" | "lost"> {
  const { pool: from, serves } = group;
  const soon = { won: (poolValue(to, to.capacity + own) - to.value) * useful, lost: group.lost };
  const caution = Math.max(to.caution, from?.caution ?? 0);
  if (caution === 0) return soon;
  const later = {
    won: lastingGainOf(to, to.capacity, own) * useful,
    lost: from === null ? 0 : lastingLossOf(from, serves),
  };
  if (later.won - later.lost >= soon.won - soon.lost) return soon;
  return {
    won: soon.won + caution * (later.won - soon.won),
    lost: soon.lost + caution * (later.lost - soon.lost),
  };
}

/** Null if nothing speaks for the move. */
function reasonOf({ pool }: Group, to: Pool, gain: number): Reason | null {
  if (to.held < to.model.floor) return "floor";
  if (to.held < to.keeps) return "first_machine";
  if (gain > 0) return "demand_gain";
  return pool === null && to.mean > 0 ? "placed_empty" : null;
}

function needOf({ mean, capacity, held, model }: Pool, reason: Reason): number {
  return reason === "floor" ? 1 - held / model.floor : mean / (capacity + 1e-9);
}

export function isBetter(a: Candidate, b: Candidate): boolean {
  if (a.reason !== b.reason) return RANK[a.reason] > RANK[b.reason];
  if (RANK[a.reason] >= RANK.first_machine && a.to.model.priority !== b.to.model.priority) {
    return a.to.model.priority > b.to.model.priority;
  }
  // Floors that nobody asks for all gain the same.
  if (a.reason === "placed_empty" || a.gain === b.gain) return a.need > b.need;
  return a.gain > b.gain;
}
