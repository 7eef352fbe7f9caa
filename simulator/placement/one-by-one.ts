import type { Setting } from "./policy.ts";

/** What a model has been given so far. */
export interface Given {
  readonly machines: number;
  /** In machine units. */
  readonly units: number;
}

/**
 * Places machines one after another, those that fit fewest models first, each with the model it is worth most to. Caps are kept: a
 * machine for which they leave no room goes nowhere (null).
 *
 * @param worthOf what a machine of this speed is worth to a model that has this much.
 */
export function placedOneByOne(
  { machines, models }: Pick<Setting, "machines" | "models">,
  worthOf: (model: number, given: Given, speed: number) => number,
): (number | null)[] {
  const given = models.map((): Given => ({ machines: 0, units: 0 }));
  const placement = machines.map((): number | null => null);
  const choices = (index: number) => machines[index]?.speeds.filter((speed) => speed > 0).length ?? 0;
  const order = machines.map((_, index) => index).sort((a, b) => choices(a) - choices(b) || a - b);
  for (const index of order) {
    let best: number | null = null;
    let most = Number.NEGATIVE_INFINITY;
    for (const [model, { cap }] of models.entries()) {
      const speed = machines[index]?.speeds[model] ?? 0;
      const has = given[model];
      if (speed === 0 || has === undefined || has.machines >= cap) continue;
      const worth = worthOf(model, has, speed);
      if (worth > most) [best, most] = [model, worth];
    }
    if (best === null) continue;
    placement[index] = best;
    const { machines: count, units } = given[best] ?? { machines: 0, units: 0 };
    given[best] = { machines: count + 1, units: units + (machines[index]?.speeds[best] ?? 0) };
  }
  return placement;
}
