import type { Setting } from "./policy.ts";

/**
 * Where the online policies start, all alike: floors first, then each machine (those that fit fewest models first)
 * goes to the model that is furthest below its share of the mean demand. Nothing of the trace itself is used. A machine
 * for which the caps leave no room goes nowhere (null). A model without demand gets what no other has use for.
 */
export function firstPlacement(setting: Setting): (number | null)[] {
  const { machines, models, load } = setting;
  const capacity = machines.reduce((sum, machine) => sum + Math.max(...machine.speeds), 0);
  const given = models.map(() => 0);
  const held = models.map(() => 0);
  const placement = machines.map((): number | null => null);
  const fitting = (index: number) => machines[index]?.speeds.filter((speed) => speed > 0).length ?? 0;
  const order = machines.map((_, index) => index).sort((a, b) => fitting(a) - fitting(b) || a - b);
  for (const index of order) {
    let best = -1;
    let bestNeed = Number.NEGATIVE_INFINITY;
    for (const [model, { floor, cap, share }] of models.entries()) {
      const count = held[model] ?? 0;
      if ((machines[index]?.speeds[model] ?? 0) === 0 || count >= cap) continue;
      const mean = share * load * capacity;
      const need = count < floor ? 1e6 : mean === 0 ? -1e6 : (mean - (given[model] ?? 0)) / Math.sqrt(mean);
      if (need > bestNeed) [best, bestNeed] = [model, need];
    }
    if (best < 0) continue;
    placement[index] = best;
    held[best] = (held[best] ?? 0) + 1;
    given[best] = (given[best] ?? 0) + (machines[index]?.speeds[best] ?? 0);
  }
  return placement;
}
