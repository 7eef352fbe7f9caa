/** @import { FlagTakes } from "../core/flags.ts" */
/** @import { ApiError } from "./api-error.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { sentenceOf } from "./api-error.js";
import { wordsOf } from "./flag-words.js";
import { sentence } from "./format.js";

/**
 * @typedef {object} FlagLine
 * @property {string} name
 * @property {string} about what it is for
 * @property {string} value as it is shown
 * @property {string} initial as it is shown
 * @property {string} inForce the value itself
 * @property {string} initialValue the value itself
 * @property {FlagTakes} takes
 * @property {boolean} isChanged
 * @property {string} problem empty if there is none
 */

/**
 * What the table of flags says.
 * @param {Snapshot} snapshot
 * @returns {FlagLine[]}
 */
export function flagLines({ flags }) {
  return flags.map(({ name, value, initial, takes, valid, invalid, problem }) => ({
    name,
    about: wordsOf(name).about,
    value: shown(value),
    initial: shown(initial),
    inForce: value,
    initialValue: initial,
    takes,
    isChanged: value !== initial,
    problem: valid ? "" : `KV holds "${invalid ?? ""}", which is not in force: ${problem ?? "not valid"}`,
  }));
}

/**
 * What a control holds after a refresh: the new value in force, unless somebody is about to set another one.
 * @param {string} held by the control
 * @param {string} before the value in force when the control was last brought up to date
 * @param {string} now
 */
export function draftOf(held, before, now) {
  return held === before ? now : held;
}

/**
 * What came of setting a flag.
 * @param {{ value: string, not_released?: readonly string[] }} flag
 */
export function outcomeOf({ value, not_released: left = [] }) {
  const set = `Set to ${value === "" ? "empty" : value}.`;
  if (left.length === 0) return set;
  return `${set} Not released, since their epochs are used up: ${left.join(", ")}. Quarantine them, and start their providers with another --machine-id.`;
}

/**
 * A refusal as it stands beside the flag, whose name need not be said again.
 * @param {string} name
 * @param {ApiError} error
 */
export function problemOf(name, error) {
  const { message } = error;
  return message.startsWith(`${name} `) ? `${sentence(message.slice(name.length + 1))}.` : sentenceOf(error);
}

/** @param {string} value */
function shown(value) {
  return value === "" ? "(empty)" : value;
}
