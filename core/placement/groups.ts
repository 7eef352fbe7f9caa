import type { ModelId } from "../../protocol/ids.ts";
import type { Candidate } from "./best-move.ts";
import type { Seat } from "./fleet.ts";
import { stakeOf, type Leaver } from "./gate.ts";
import type { Kind } from "./kinds.ts";
import { capacityIn } from "./pools.ts";
import type { PlacementConfig } from "./types.ts";

/**
 * Machines that are alike for every move: of one kind, in one pool, without a cool-down. The planner compares groups instead of
 * machines; of a group the machine that was assigned longest ago goes first.
 */

export interface Group extends Leaver {
  readonly kind: Kind;
  /** How long one of them takes to let go of its requests. */
  readonly drainSeconds: number;
  /** Models that they must not be given. */
  readonly cooling: ReadonlySet<string>;
  /** Longest assigned first. */
  readonly seats: readonly Seat[];
  /** Of the seat that goes next; those before it have moved. */
  next: number;
  /** What its pool loses with one of them, in weighted requests/s. */
  lost: number;
  best: Candidate | null;
  /** The best move may be worth less by now, but not more. */
  isUpperBound: boolean;
}

/** Of the machines that may move. */
export function groupsOf(seats: readonly Seat[], now: number, config: PlacementConfig): Group[] {
  const alike = new Map<Kind, Map<number, Seat[]>>();
  const groups: Group[] = [];
  // Seats come sorted by id, and sorting keeps the order of equals.
  const movable = seats.filter(({ stays }) => stays === null);
  for (const seat of movable.sort((a, b) => a.machine.assignedAt - b.machine.assignedAt)) {
    const cooling = coolingOf(seat.machine.cooldownUntil, now);
    const mayShare = cooling.size === 0 && seat.kind.machines > 1;
    const key = keyWithinKind(seat);
    const known = mayShare ? alike.get(seat.kind)?.get(key) : undefined;
    if (known !== undefined) {
      known.push(seat);
      continue;
    }
    const members = [seat];
    groups.push(groupOf(seat, members, cooling, config));
    if (mayShare) {
      alike.set(seat.kind, (alike.get(seat.kind) ?? new Map<number, Seat[]>()).set(key, members));
    }
  }
  return groups;
}

/** @param members alike, and may still become more. */
function groupOf(
  { kind, pool, machine }: Seat,
  members: readonly Seat[],
  cooling: ReadonlySet<string>,
  config: PlacementConfig,
): Group {
  return {
    kind,
    pool,
    serves: pool === null ? 0 : capacityIn(kind, pool),
    stake: stakeOf(kind, machine),
    drainSeconds: isBusy(machine) ? config.drainSeconds : 0,
    cooling,
    seats: members,
    next: 0,
    lost: 0,
    best: null,
    isUpperBound: false,
  };
}

/** A number for the pool, whether the machine is busy and whether nobody has placed it. */
function keyWithinKind({ machine, pool }: Seat): number {
  return ((pool?.index ?? -1) + 1) * 4 + (isBusy(machine) ? 2 : 0) + (machine.state === "unmanaged" ? 1 : 0);
}

function isBusy({ inFlight }: Seat["machine"]): boolean {
  return inFlight > 0;
}

const NOTHING: ReadonlySet<string> = new Set();

function coolingOf(until: Readonly<Record<ModelId, number>>, now: number): ReadonlySet<string> {
  let cooling: Set<string> | null = null;
  for (const modelId in until) {
    if ((Reflect.get(until, modelId) ?? 0) > now) cooling = (cooling ?? new Set()).add(modelId);
  }
  return cooling ?? NOTHING;
}

/** The machine that goes next; null once all have moved. */
export function nextSeat({ seats, next }: Group): Seat | null {
  return seats[next] ?? null;
}
