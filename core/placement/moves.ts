import { bestMove, isBetter, type Candidate } from "./best-move.ts";
import type { Fleet, Seat } from "./fleet.ts";
import { groupsOf, nextSeat, type Group } from "./groups.ts";
import { lossOf, transfer, type Pool } from "./pools.ts";
import { staysOf } from "./stays.ts";
import type { Move, PlacementConfig, Stay } from "./types.ts";

/**
 * Greedy moves by marginal value: again and again the best move of all is made, until none is worth its gate or the budget is used
 * up. Machines that are alike are one group (`groups.ts`), each group knows its best move (`best-move.ts`), and the group whose
 * move is best sends its next machine.
 *
 * A move changes what two pools are worth and nothing else, so hardly any group has to be looked at again. Values are concave: the
 * pool that lost a machine is now worth more to others and its own machines cost more to take, and for the pool that won one
 * it is the other way round. What became worth more is compared at once. What became worth less is kept as an upper bound, and
 * evaluated only when it would lead.
 */

/** What moves are weighed by. */
interface Terms {
  readonly pools: readonly Pool[];
  readonly config: PlacementConfig;
}

/**
 * @param budget moves at most.
 * @param onlyFloors whether only floors are reason enough to move now; they come first anyway.
 */
export function chooseMoves(
  { seats, pools }: Fleet,
  budget: number,
  now: number,
  config: PlacementConfig,
  onlyFloors = false,
): { moves: Move[]; stays: Stay[] } {
  const terms = { pools, config };
  const groups = groupsOf(seats, now, config);
  for (const group of groups) evaluate(group, terms);
  const moves: Move[] = [];
  while (moves.length < budget) {
    const group = leading(groups, terms);
    const choice = group?.best ?? null;
    const seat = group === null ? null : nextSeat(group);
    if (group === null || choice === null || seat === null) break;
    if (onlyFloors && choice.reason !== "floor") break;
    moves.push(moveOf(seat, choice));
    group.next += 1;
    transfer(group.kind, group.pool, choice.to);
    for (const other of groups) notice(other, group.pool, choice.to, terms);
  }
  for (const group of groups) if (group.isUpperBound) evaluate(group, terms);
  return { moves, stays: staysOf(seats, groups, pools) };
}

function evaluate(group: Group, { pools, config }: Terms): void {
  const { pool, serves } = group;
  group.lost = pool === null ? 0 : lossOf(pool, serves);
  group.best = bestMove(group, pools, null, config);
  group.isUpperBound = false;
}

/** A machine has moved from one pool, if it was in any, to another. */
function notice(group: Group, from: Pool | null, to: Pool, terms: Terms): void {
  const { pool, best } = group;
  const leavesTarget = pool === to;
  // Its best move is worth more now: it stays the best, but by how much has to be said anew.
  const wantsDonor = from !== null && best?.to === from;
  if (leavesTarget || wantsDonor) {
    evaluate(group, terms);
    return;
  }
  if (best?.to === to || pool === from) group.isUpperBound = true;
  if (from !== null && pool !== from) group.best = bestMove(group, [from], best, terms.config);
}

/** The group with the best move; null once no group has any. */
function leading(groups: readonly Group[], terms: Terms): Group | null {
  let leader: Group | null = null;
  for (const group of groups) {
    if (group.isUpperBound && leads(group, leader)) evaluate(group, terms);
    if (leads(group, leader)) leader = group;
  }
  return leader;
}

/** Of equal moves, that of the machine which was assigned longest ago, so that all share the switches. */
function leads(group: Group, leader: Group | null): boolean {
  if (group.best === null) return false;
  const best = leader?.best ?? null;
  if (best === null || isBetter(group.best, best)) return true;
  return !isBetter(best, group.best) && isEarlier(nextSeat(group), leader === null ? null : nextSeat(leader));
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
