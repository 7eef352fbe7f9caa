/** @import { CatalogEntry } from "../core/catalog.ts" */
/** @import { ApiError } from "./api-error.js" */
/** @import { Warning } from "./confirm.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { sentenceOf } from "./api-error.js";
import { count, many, sentence, someOf } from "./format.js";
import { LISTING_FIELDS } from "./listing-entry.js";

/**
 * A model's entry of the catalog as a form: what was typed becomes what the API takes. Which values are good is the
 * coordinator's to say, and so is what stands for an empty field.
 */

/** @typedef {Exclude<keyof CatalogEntry, "id">} FieldName */

/**
 * @typedef {object} Field
 * @property {FieldName} name
 * @property {string} label
 * @property {boolean} [isText] all others are numbers
 * @property {boolean} [isNeeded]
 * @property {string} [whenEmpty] what stands for an empty field
 */

/** @type {readonly Field[]} */
export const FIELDS = [
  { name: "context_length", label: "Context, tokens", isNeeded: true },
  { name: "size_gb", label: "Size of the weights, GB", isNeeded: true },
  { name: "min_ram_gb", label: "Memory it needs, GB", isNeeded: true },
  { name: "max_concurrency", label: "Requests at once per machine", whenEmpty: "4" },
  { name: "floor", label: "Machines at least", whenEmpty: "0" },
  { name: "cap", label: "Machines at most", whenEmpty: "no limit" },
  { name: "priority", label: "Priority", whenEmpty: "1" },
  { name: "decode_floor_tps", label: "Slowest stream, tokens/s", whenEmpty: "as decode_floor_tps" },
  { name: "aliases", label: "Other names, with commas", isText: true },
];

/** All fields by which a refusal may be about, those of the listing as well. */
const LABELED = [...FIELDS, ...LISTING_FIELDS.map(({ name, label }) => ({ name: `listing.${name}`, label }))];

/** What was read keeps fields that this page does not know. @typedef {Readonly<Record<string, unknown>>} Entry */

/**
 * @param {FieldName} name
 * @param {Entry} entry
 */
export function textOf(name, entry) {
  const value = entry[name];
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "number" || typeof value === "string" ? String(value) : "";
}

/**
 * @param {Entry} before as it was read; empty for a new model
 * @param {(name: FieldName) => string} typed
 * @returns {{ entry: Entry, wrong: readonly FieldName[] }} `wrong` are those that hold no number
 */
export function entryOf(before, typed) {
  /** @type {Record<string, unknown>} */
  const entry = { ...before };
  /** @type {FieldName[]} */
  const wrong = [];
  for (const { name, isText } of FIELDS) {
    const text = typed(name).trim();
    if (text === "") delete entry[name];
    else if (isText === true) entry[name] = namesIn(text);
    else if (Number.isFinite(Number(text))) entry[name] = Number(text);
    else wrong.push(name);
  }
  return { entry, wrong };
}

/** @param {string} text */
function namesIn(text) {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

/**
 * Why a new model cannot have this id; empty if it may. It would take the place of one that is there.
 * @param {string} id
 * @param {Snapshot} snapshot
 */
export function obstacleTo(id, { utilization }) {
  if (id === "") return "It needs an id: the one under which providers offer the model.";
  const isThere = utilization.model_pools.pools.some(({ model_id }) => model_id === id);
  return isThere ? `${id} is in the catalog already. To change it, click on it in the table.` : "";
}

/**
 * Beside what was saved: a floor that the fleet cannot reach, so that everything which fits goes to this model. Empty if
 * there is nothing to say.
 * @param {Entry} entry
 * @param {Snapshot} snapshot
 */
export function floorNote({ floor }, { utilization }) {
  const connected = utilization.model_pools.machines.filter(({ state }) => state !== "offline").length;
  if (typeof floor !== "number" || floor <= connected) return "";
  return ` It wants at least ${many(floor, "machine")}, and ${count(connected)} ${connected === 1 ? "is" : "are"} connected.`;
}

/**
 * Whether a refusal is about this field: `size_gb`, or `aliases[0]`.
 * @param {string} name
 * @param {ApiError} error
 */
export function isAbout(name, { param }) {
  return param !== null && param.replace(/\[\d+\]$/, "") === name;
}

/**
 * A refusal with the field as the form calls it.
 * @param {ApiError} error
 */
export function refusalOf(error) {
  if (error.code === "force_required") {
    return "It was not removed: machines are assigned to it that the page did not know of. Try again after it has read anew.";
  }
  if (error.code === "precondition_failed") {
    return "Somebody else has changed or removed it since it was opened here, so nothing was changed. Close it, open it again and try once more.";
  }
  const field = LABELED.find(({ name }) => isAbout(name, error));
  const { param, message } = error;
  if (field === undefined || !message.startsWith(`${param}: `)) return sentenceOf(error);
  return `${field.label}: ${message.slice(`${param}: `.length)}.`;
}

/**
 * @param {string} id
 * @param {Snapshot} snapshot
 * @returns {{ warning: Warning, isForced: boolean }} `isForced` if it says that machines will be released
 */
export function removal(id, { utilization }) {
  const assigned = utilization.model_pools.machines
    .filter(({ assigned_model }) => assigned_model === id)
    .map(({ machine_id }) => machine_id);
  const isForced = assigned.length > 0;
  const released = isForced
    ? ` ${sentence(many(assigned.length, "machine"))} assigned to it will be released: ${someOf(assigned)}.`
    : "";
  return {
    isForced,
    warning: {
      title: `Remove ${id} from the catalog?`,
      text:
        `Requests for it are answered 404 from then on, and machines leave its pool.${released} What is set for it here ` +
        "is forgotten, and its usage is shown no more.",
      verb: isForced ? "Release and remove" : "Remove",
    },
  };
}
