/** @import { Order } from "./lists.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { count, many, sentence } from "./format.js";
import { compareNames, hasWords, sortedBy } from "./lists.js";
import { adviceOf } from "./words.js";

/** What the table of machines says, and which of its lines in which order. */

/** @typedef {"good" | "busy" | "waiting" | "bad" | "off"} Tone */

/**
 * @typedef {object} MachineLine
 * @property {string} id
 * @property {string} owner
 * @property {string} chip
 * @property {number} memoryGb
 * @property {string} model its pool, or those in which it waits
 * @property {string} holding what it has in memory, if that is not the same
 * @property {string} state the API's word
 * @property {boolean} cordoned
 * @property {Tone} tone
 * @property {string} why
 * @property {string} fix empty if nothing need be done
 * @property {number} inFlight
 * @property {number | null} decodeTps
 * @property {string} searched
 */

/** @typedef {"id" | "chip" | "memory" | "model" | "state" | "inFlight" | "speed"} SortKey */

/** @type {readonly { readonly value: string, readonly label: string }[]} */
export const SHOWN = [
  { value: "all", label: "all machines" },
  { value: "attention", label: "those that need something" },
  { value: "serving", label: "those that can serve" },
  { value: "unmanaged", label: "unmanaged" },
  { value: "assigned", label: "assigned" },
  { value: "expected", label: "expected" },
  { value: "draining", label: "draining" },
  { value: "loading", label: "loading" },
  { value: "failed", label: "failed" },
  { value: "cordoned", label: "cordoned" },
  { value: "offline", label: "offline" },
];

/**
 * @param {Snapshot} snapshot
 * @returns {MachineLine[]}
 */
export function machineLines({ utilization }) {
  return utilization.model_pools.machines.map((machine) => {
    const { explanation, state, cordoned } = machine;
    const { model, holding } = belongingOf(machine);
    const chip = machine.hardware;
    const why = sentence(explanation.why);
    return {
      id: machine.machine_id,
      owner: machine.owner,
      chip,
      memoryGb: machine.memory_gb,
      model,
      holding,
      state,
      cordoned,
      tone: toneOf(state, explanation, machine.in_flight),
      why,
      fix: adviceOf(explanation),
      inFlight: machine.in_flight,
      decodeTps: machine.decode_tps,
      searched: [machine.machine_id, machine.owner, machine.token_id ?? "", chip, model, state, why]
        .join(" ")
        .toLowerCase(),
    };
  });
}

/** @param {Snapshot["utilization"]["model_pools"]["machines"][number]} machine */
function belongingOf({ assigned_model, loaded_models, pools }) {
  if (assigned_model !== null) return { model: assigned_model, holding: "" };
  if (pools.length === 0) return { model: "–", holding: "" };
  const held = loaded_models.length === 0 ? "holds none yet" : `holds ${loaded_models.join(", ")}`;
  return {
    model: pools.join(", "),
    holding: pools.length === 1 && loaded_models[0] === pools[0] ? "" : held,
  };
}

/**
 * @param {string} state
 * @param {{ readonly gate: string | null, readonly fix: string | null }} explanation
 * @param {number} inFlight
 * @returns {Tone}
 */
function toneOf(state, { gate, fix }, inFlight) {
  if (gate === null && fix !== null) return "bad";
  if (gate === null) return inFlight > 0 ? "busy" : "good";
  if (state === "offline" || gate === "cordoned") return "off";
  // That it is private is its owner's will, and nothing that has to be mended.
  return fix === null || gate === "owner_private" || gate === "reserved" ? "waiting" : "bad";
}

/**
 * @param {readonly MachineLine[]} lines
 * @param {string} words all of which a line must have
 * @param {string} shown a value of `SHOWN`
 */
export function filtered(lines, words, shown) {
  return lines.filter((line) => isShown(line, shown) && hasWords(line.searched, words));
}

/**
 * @param {MachineLine} line
 * @param {string} shown
 */
function isShown({ tone, state, cordoned }, shown) {
  switch (shown) {
    case "all":
      return true;
    case "attention":
      return tone === "bad" || tone === "off" || state === "failed";
    case "serving":
      return tone === "good" || tone === "busy";
    case "cordoned":
      return cordoned;
    default:
      return state === shown;
  }
}

/** @type {Readonly<Record<SortKey, (one: MachineLine, other: MachineLine) => number>>} */
const COMPARED = {
  id: (one, other) => compareNames(one.id, other.id),
  chip: (one, other) => compareNames(one.chip, other.chip),
  memory: (one, other) => one.memoryGb - other.memoryGb,
  model: (one, other) => compareNames(one.model, other.model),
  state: (one, other) => compareNames(one.state, other.state),
  inFlight: (one, other) => one.inFlight - other.inFlight,
  speed: (one, other) => (one.decodeTps ?? -1) - (other.decodeTps ?? -1),
};

/**
 * @param {readonly MachineLine[]} lines
 * @param {Order<SortKey>} order
 */
export function sorted(lines, { key, isDescending }) {
  return sortedBy(lines, COMPARED[key], isDescending);
}

/** @param {readonly MachineLine[]} lines */
export function machinesSummary(lines) {
  if (lines.length === 0) return "";
  const isShownAs = (/** @type {string} */ shown) => lines.filter((line) => isShown(line, shown)).length;
  const needy = isShownAs("attention");
  return [
    many(lines.length, "machine"),
    `${count(isShownAs("serving"))} can serve`,
    `${count(needy)} ${needy === 1 ? "needs" : "need"} something`,
    `${count(isShownAs("offline"))} offline`,
  ].join(" · ");
}
