import type { PolicyMaker } from "../policy.ts";
import { marginalValue } from "./marginal-value.ts";

/**
 * The coordinator's placement. For now this is the simulator's own marginal-value rule, a stand-in with the same
 * idea; the planner in core/placement goes here.
 */
export const ours: PolicyMaker = marginalValue;
