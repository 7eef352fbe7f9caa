import type { Seat } from "./fleet.ts";
import type { Group } from "./groups.ts";
import { capacityIn, isKept, type Pool } from "./pools.ts";
import type { Stay, StayReason } from "./types.ts";

/** Why machines stay, for people to read. */

type Verdict = Omit<Stay, "machineId">;

/**
 * Of the machines that have not moved.
 *
 * @param groups each with the best move that it has after all moves.
 */
export function staysOf(seats: readonly Seat[], groups: readonly Group[], pools: readonly Pool[]): Stay[] {
  const verdicts = new Map<Seat, Verdict>();
  for (const group of groups) {
    const verdict = verdictOn(group, pools);
    for (const seat of group.seats.slice(group.next)) verdicts.set(seat, verdict);
  }
  return seats.flatMap((seat): Stay[] => {
    const { machineId } = seat.machine;
    if (seat.stays !== null) return [{ machineId, reason: seat.stays, bestTarget: null, bestGain: null }];
    const verdict = verdicts.get(seat);
    return verdict === undefined ? [] : [{ machineId, ...verdict }];
  });
}

function verdictOn(group: Group, pools: readonly Pool[]): Verdict {
  const { best } = group;
  if (best === null) return { reason: whyNothing(group, pools), bestTarget: null, bestGain: null };
  // A move that pays and was not made: there was no order left for it.
  return { reason: "budget", bestTarget: best.to.model.modelId, bestGain: best.gain };
}

function whyNothing({ kind, pool, cooling }: Group, pools: readonly Pool[]): StayReason {
  if (pool !== null && isKept(kind, pool)) {
    return pool.held <= pool.model.floor ? "pool_at_floor" : "last_of_pool";
  }
  if (cooling.size === 0) return "no_gain";
  const others = pools.filter((other) => other !== pool && capacityIn(kind, other) > 0);
  const areCooling = others.every(({ model }) => cooling.has(model.modelId));
  return others.length > 0 && areCooling ? "cooldown" : "no_gain";
}
