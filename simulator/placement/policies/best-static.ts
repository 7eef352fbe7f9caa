import type { PolicyMaker } from "../policy.ts";
import type { Scenario } from "../scenario.ts";

/**
 * The best placement that never moves, in hindsight. The served demand of a model is concave in its machines, so
 * giving each machine where it adds most is exact for one class of machines; with several it is a good guess, made
 * for the machines with the fewest choices first. Floors are not kept, caps are: a machine without room goes nowhere (null).
 */
export function bestStaticPlacement(scenario: Scenario): (number | null)[] {
  const { machines, models, demand } = scenario;
  const given = models.map(() => 0);
  const held = models.map(() => 0);
  const placement = machines.map((): number | null => null);
  const choices = (index: number) => machines[index]?.speeds.filter((speed) => speed > 0).length ?? 0;
  const order = machines.map((_, index) => index).sort((a, b) => choices(a) - choices(b) || a - b);
  const gain = (model: number, speed: number): number => {
    const from = given[model] ?? 0;
    let sum = 0;
    for (const row of demand) sum += Math.max(0, Math.min(speed, (row[model] ?? 0) - from));
    return sum;
  };
  for (const index of order) {
    let best = -1;
    let bestGain = -1;
    for (const [model, { cap }] of models.entries()) {
      const speed = machines[index]?.speeds[model] ?? 0;
      if (speed === 0 || (held[model] ?? 0) >= cap) continue;
      const added = gain(model, speed);
      if (added > bestGain) [best, bestGain] = [model, added];
    }
    if (best < 0) continue;
    placement[index] = best;
    held[best] = (held[best] ?? 0) + 1;
    given[best] = (given[best] ?? 0) + (machines[index]?.speeds[best] ?? 0);
  }
  return placement;
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
