/** @import { FlagTakes } from "../core/flags.ts" */
/** @import { ApiError } from "./api-error.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { sentenceOf } from "./api-error.js";
import { wordsOf } from "./flag-words.js";
import { sentence } from "./format.js";

const SHED = "shed_models";

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
 * The models that are switched off, whether the catalog has them or not.
 * @param {Snapshot["flags"]} flags
 * @returns {Set<string>}
 */
export function shedModels(flags) {
  const value = flags.find(({ name }) => name === SHED)?.value ?? "";
  return new Set(value.split(",").map((id) => id.trim()));
}

/**
 * What came of setting a flag.
 * @param {Snapshot["flags"][number] & { not_released?: readonly string[] }} flag as it is from now on
 * @param {readonly string[]} models ids of the catalog
 */
export function outcomeOf(flag, models) {
  const { value, not_released: left = [] } = flag;
  const set = `Set to ${value === "" ? "empty" : value}.`;
  const unknown = [...shedModels([flag])].filter((id) => id !== "" && !models.includes(id));
  if (unknown.length > 0) return `${set} Not the id of a model in the catalog: ${unknown.join(", ")}.`;
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
