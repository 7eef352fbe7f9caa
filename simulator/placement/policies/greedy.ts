import type { PolicyMaker } from "../policy.ts";
import { fill, movesTowards } from "./towards.ts";

/**
 * Floors first, then by priority, up to a target from Little's law: what is in flight (arrivals times service time,
 * here the last minute's demand in machine units), rounded up, and one warm machine more. Dwell 5 minutes.
 */
export const greedy: PolicyMaker = (setting) => {
  const order = setting.models
    .map((_, model) => model)
    .sort((a, b) => (setting.models[b]?.priority ?? 0) - (setting.models[a]?.priority ?? 0) || a - b);
  return {
    decide: (view) => {
      const targets = fill(
        view.observed.map((demand) => Math.ceil(demand) + 1),
        order,
        setting,
      );
      return movesTowards(targets, view, setting, { dwell: 5, slack: 0, budget: 4 });
    },
  };
};
