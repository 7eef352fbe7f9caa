/** @import { Snapshot } from "./snapshot.js" */

/**
 * @typedef {object} FlagLine
 * @property {string} name
 * @property {string} value
 * @property {string} initial
 * @property {boolean} isChanged
 * @property {string} problem empty if there is none
 */

/**
 * What the table of flags says.
 * @param {Snapshot} snapshot
 * @returns {FlagLine[]}
 */
export function flagLines({ flags }) {
  return flags.map(({ name, value, initial, valid, invalid, problem }) => ({
    name,
    value: shown(value),
    initial: shown(initial),
    isChanged: value !== initial,
    problem: valid ? "" : `KV holds "${invalid ?? ""}", which is not in force: ${problem ?? "not valid"}`,
  }));
}

/** @param {string} value */
function shown(value) {
  return value === "" ? "(empty)" : value;
}
