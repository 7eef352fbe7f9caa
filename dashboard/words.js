/** @import { Explanation } from "../core/fleet/explain.ts" */
/** @import { MoveReason, StayReason } from "../core/placement/types.ts" */
/** @import { Halt } from "../core/fleet/plan-record.ts" */
import { sentence } from "./format.js";

/** What the codes of the planner mean, in plain words, and what the API advises, as it is said to an operator. */

/** @type {Readonly<Record<MoveReason, string>>} */
const MOVES = {
  floor: "its pool is below its floor",
  first_machine: "its pool has demand and no machine",
  demand_gain: "it serves more requests there",
  placed_empty: "it held nothing of use",
  adopted: "nobody had placed it; it keeps what it holds",
};

/** @type {Readonly<Record<StayReason, string>>} */
const STAYS = {
  offline: "nothing is heard of it",
  cordoned: "an operator has cordoned it",
  moving: "it is being moved already",
  unmanageable: "it takes no orders: too old, private, or quarantined",
  not_routable: "it is connected, but no request may go to it now",
  pinned: "an operator has pinned it",
  dwell: "it was assigned a short while ago",
  cooldown: "its last load has failed; it cools down",
  nothing_fits: "it can serve no model of the catalog",
  last_of_pool: "it is the last machine of a pool with demand",
  pool_at_floor: "its pool has no more machines than its floor",
  no_gain: "no move is worth more than it costs",
  budget: "a move would pay, but no more orders may be sent in this tick",
  frozen: "many machines vanished at once, so nothing moves for now",
  no_demand_seen: "no request has arrived since the planner started",
};

/** @type {Readonly<Record<Halt, string>>} */
const HALTS = {
  frozen: "Nothing moves: many machines vanished at once.",
  no_demand_seen: "Nothing moves: no request has arrived since the planner started.",
  stale_reports: "Nothing moves: a pool did not answer.",
  reconnecting: "Nothing moves: all machines were disconnected, as by a deploy, and are coming back.",
};

/** @param {string} code */
export const moveReason = (code) => (code === "pinned" ? "an operator has pinned it" : wordsOf(MOVES, code));

/** @param {string} code */
export const stayReason = (code) => wordsOf(STAYS, code);

/** @param {string} code */
export const haltReason = (code) => wordsOf(HALTS, code);

const TO_OWNER = "ask the operator to ";

/**
 * What would help a machine; empty if nothing need be done. The API says it to the machine's owner, and this page is read
 * by the operator.
 * @param {Pick<Explanation, "fix">} explanation
 */
export function adviceOf({ fix }) {
  if (fix === null) return "";
  return sentence(fix.startsWith(TO_OWNER) ? fix.slice(TO_OWNER.length) : fix);
}

/**
 * A code that this page does not know yet is shown as it is.
 * @param {Readonly<Record<string, string>>} words
 * @param {string} code
 */
function wordsOf(words, code) {
  return Object.hasOwn(words, code) ? (words[code] ?? code) : code;
}
