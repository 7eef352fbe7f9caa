import { placedOneByOne } from "./one-by-one.ts";
import type { Setting } from "./policy.ts";

/**
 * Where the online policies start, all alike: floors first, then each machine goes to the model that is furthest below its share of
 * the mean demand. Nothing of the trace itself is used. A model without demand gets what no other has use for.
 */
export function firstPlacement(setting: Setting): (number | null)[] {
  const { machines, models, load } = setting;
  const capacity = machines.reduce((sum, machine) => sum + Math.max(...machine.speeds), 0);
  return placedOneByOne(setting, (model, given) => {
    const { floor = 0, share = 0 } = models[model] ?? {};
    const mean = share * load * capacity;
    if (given.machines < floor) return 1e6;
    return mean === 0 ? -1e6 : (mean - given.units) / Math.sqrt(mean);
  });
}
