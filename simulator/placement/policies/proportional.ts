import type { PolicyMaker, Setting } from "../policy.ts";
import { movesTowards } from "./towards.ts";

/** Each minute, as many machines per model as its part of the last minute's demand: no memory, no restraint. */
export const proportional: PolicyMaker = (setting) => ({
  decide: (view) =>
    movesTowards(proportionalTargets(view.observed, setting), view, setting, {
      dwell: 0,
      slack: 0,
      budget: setting.machines.length,
    }),
});

/** Largest remainders, after the floors. */
export function proportionalTargets(demand: readonly number[], { machines, models }: Setting): number[] {
  const total = demand.reduce((sum, wanted) => sum + wanted, 0);
  if (total === 0) return models.map((model) => model.floor);
  const exact = demand.map((wanted) => (wanted / total) * machines.length);
  const targets = models.map(({ floor, cap }, model) =>
    Math.min(cap, Math.max(floor, Math.floor(exact[model] ?? 0))),
  );
  const rest = (model: number) => (exact[model] ?? 0) - (targets[model] ?? 0);
  let left = machines.length - targets.reduce((sum, count) => sum + count, 0);
  const order = models.map((_, model) => model).sort((a, b) => rest(b) - rest(a));
  for (const model of order) {
    if (left <= 0) break;
    if ((targets[model] ?? 0) >= (models[model]?.cap ?? 0)) continue;
    targets[model] = (targets[model] ?? 0) + 1;
    left -= 1;
  }
  return targets;
}
