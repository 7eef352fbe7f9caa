import { ownValue } from "../own-value.ts";
import type { Move, PlacementInput, PlacementMachine, Plan } from "./types.ts";

/**
 * Machines that nobody has placed yet and that are well where they are: each is given the model that it holds. Without it a machine
 * with several models on its disk would go on swapping them by demand. It is out of use for the moment that the order takes, so
 * a pool gives at most half of what the moves leave of it, and at least one.
 */
export function adoptions({ moves, budget }: Plan, input: PlacementInput): Move[] {
  const moving = new Set(moves.map(({ machineId }) => machineId));
  const serving = new Map<string, number>();
  for (const { machineId, model, state } of input.machines) {
    const serves = state === "serving" || state === "unmanaged";
    if (model === null || !serves || moving.has(machineId)) continue;
    serving.set(model, (serving.get(model) ?? 0) + 1);
  }
  const adopted = new Map<string, number>();
  const chosen: Move[] = [];
  for (const { machineId, model, state, isManageable, fits } of input.machines.toSorted(moreModelsFirst)) {
    if (moves.length + chosen.length >= budget) break;
    const isCandidate = state === "unmanaged" && isManageable && !moving.has(machineId);
    if (!isCandidate || model === null || ownValue(fits, model) === undefined) continue;
    const taken = adopted.get(model) ?? 0;
    if (taken >= Math.max(1, Math.floor((serving.get(model) ?? 0) / 2))) continue;
    adopted.set(model, taken + 1);
    chosen.push({ machineId, from: model, to: model, reason: "adopted", won: 0, lost: 0, gate: 0 });
  }
  return chosen;
}

/** A machine that could swap models most needs to be kept from it. */
function moreModelsFirst(a: PlacementMachine, b: PlacementMachine): number {
  const difference = Object.keys(b.fits).length - Object.keys(a.fits).length;
  return difference === 0 ? (a.machineId < b.machineId ? -1 : 1) : difference;
}
