/** @import { Snapshot } from "./snapshot.js" */
import { duration, someOf } from "./format.js";
import { compareNames } from "./lists.js";

/** Models that machines offer and no catalog has, as their operator reads of them: such a machine is in no other list. */

/**
 * @typedef {object} RefusedLine
 * @property {string} model
 * @property {string} machines who offers it, with whose they are
 * @property {string} asked when one of them asked last
 */

/**
 * During a deploy the answer may come from a version that knows nothing of them.
 * @param {Partial<Pick<Snapshot["utilization"]["model_pools"], "refused_dials">>} fleet
 * @param {number} now
 * @returns {RefusedLine[]}
 */
export function refusedLines({ refused_dials: dials = [] }, now) {
  return [...new Set(dials.map(({ model_id }) => model_id))].toSorted(compareNames).map((model) => {
    const asking = dials.filter(({ model_id }) => model_id === model);
    const last = Math.max(...asking.map(({ at }) => at));
    return {
      model,
      machines: someOf(asking.map(({ machine_id, owner }) => `${machine_id} of ${owner}`)),
      asked: `${duration(now - last)} ago`,
    };
  });
}
