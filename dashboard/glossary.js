/** @import { DetailLine } from "./details.js" */
/** @import { Column } from "./table.js" */

/** What the page's words mean, for whoever cannot point at the head of a column: on a phone, or with the keyboard. */

/** @type {readonly DetailLine[]} */
export const POOL_WORDS = [
  {
    name: "short",
    value: "Its demand would keep more machines busy than are ready, or it has fewer than its floor",
  },
  { name: "to spare", value: "More machines are ready than demand and floor need" },
  { name: "kept back", value: "Machines that are connected and get no requests; each says why" },
  { name: "unmanaged", value: "Machines that nobody has assigned: one may be ready in several pools" },
];

/** @type {readonly DetailLine[]} */
export const MACHINE_WORDS = [
  { name: "unmanaged", value: "It serves whichever of its models is asked for; nobody has assigned it" },
  { name: "assigned", value: "It holds the one model that it was ordered to hold" },
  { name: "expected", value: "It was ordered, and has not begun yet" },
  { name: "draining", value: "It finishes its requests before it changes models" },
  { name: "loading", value: "It loads the model that it was ordered to hold" },
  { name: "failed", value: "It could not, and serves nobody until the next try" },
  { name: "offline", value: "It has no connection" },
  { name: "pinned", value: "Assigned by an operator: placement leaves it there" },
  {
    name: "cordoned",
    value: "No new requests by an operator's order; it stays connected and keeps its model",
  },
  { name: "quarantined", value: "Shut out by an operator: its connections are closed and refused" },
  { name: "private", value: "It serves its owner alone" },
];

/** @type {readonly DetailLine[]} */
export const PLAN_WORDS = [
  { name: "tick", value: "The regular look at the whole fleet, after which it is planned" },
  {
    name: "gate",
    value: "What a move has to win beyond what it loses, so that machines do not go to and fro",
  },
  { name: "±", value: "How much the load varies, as a standard deviation" },
];

/**
 * The words of a table are those that explain its heads.
 * @template L
 * @param {readonly Column<L>[]} columns
 * @returns {DetailLine[]}
 */
export function wordsOf(columns) {
  return columns.flatMap(({ label, hint }) => (hint === undefined ? [] : [{ name: label, value: hint }]));
}
