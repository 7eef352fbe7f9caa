import type { PolicyMaker } from "../policy.ts";
import { movesTowards } from "./towards.ts";

/**
 * A smoothed demand (factor 0.3), rounded up, is the target; machines move from surplus to deficit after a dwell of
 * 5 minutes, 4 a minute at most, and only while the donor has more than one machine to spare (hysteresis).
 */
export const ewma: PolicyMaker = (setting) => {
  let smooth: number[] | undefined;
  return {
    decide: (view) => {
      smooth = smooth?.map((value, model) => value + 0.3 * ((view.observed[model] ?? 0) - value)) ?? [
        ...view.observed,
      ];
      const targets = smooth.map((value, model) => {
        const { floor = 0, cap = 0 } = setting.models[model] ?? {};
        return Math.min(cap, Math.max(floor, Math.ceil(value)));
      });
      return movesTowards(targets, view, setting, { dwell: 5, slack: 1, budget: 4 });
    },
  };
};
