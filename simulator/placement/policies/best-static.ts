import { placedOneByOne } from "../one-by-one.ts";
import type { PolicyMaker } from "../policy.ts";
import type { Scenario } from "../scenario.ts";

/**
 * The best placement that never moves, in hindsight. The served demand of a model is concave in its machines, so
 * giving each machine where it adds most is exact for one class of machines; with several it is a good guess. Floors are not kept.
 */
export function bestStaticPlacement(scenario: Scenario): (number | null)[] {
  return placedOneByOne(scenario, (model, { units }, speed) => {
    let added = 0;
    for (const row of scenario.demand) added += Math.max(0, Math.min(speed, (row[model] ?? 0) - units));
    return added;
  });
}

/** Keeps the first placement, and gives a machine whose load failed its model back. */
export function staysAt(placement: readonly (number | null)[]): PolicyMaker {
  return () => ({
    decide: (view) =>
      view.machines.flatMap(({ state }, machine) => {
        const model = placement[machine] ?? null;
        return state === "empty" && model !== null ? [{ machine, model }] : [];
      }),
  });
}
