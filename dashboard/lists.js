import { count } from "./format.js";

/** Which lines of a long list are on the screen: those that have some words, in an order, a page of them at a time. */

/**
 * @template {string} K
 * @typedef {{ key: K, isDescending: boolean }} Order
 */

/**
 * An order as text.
 * @param {Order<string>} order
 */
export const orderText = ({ key, isDescending }) => `${isDescending ? "-" : "+"}${key}`;

/**
 * @template {string} K
 * @param {string | null} text null if there is none
 * @param {readonly K[]} keys
 * @param {Order<K>} otherwise if there is no such order
 * @returns {Order<K>}
 */
export function orderOf(text, keys, otherwise) {
  const key = keys.find((known) => known === text?.slice(1));
  return key === undefined ? otherwise : { key, isDescending: text?.startsWith("-") === true };
}

const names = new Intl.Collator("en", { numeric: true });

/**
 * Numbers in names are taken for numbers.
 * @param {string} one
 * @param {string} other
 */
export const compareNames = (one, other) => names.compare(one, other);

/**
 * The order of models wherever they stand. The catalog has them in the order in which they came, the planner in its own.
 * @template {{ readonly model_id: string }} R
 * @param {readonly R[]} rows
 */
export function byModel(rows) {
  return rows.toSorted((one, other) => compareNames(one.model_id, other.model_id));
}

/**
 * Whether all words that were typed are in a text, wherever.
 * @param {string} searched in small letters
 * @param {string} typed
 */
export function hasWords(searched, typed) {
  const words = typed.toLowerCase().split(/\s+/);
  return words.every((word) => searched.includes(word));
}

/**
 * Equal lines go by their ids, so that none changes its place without a reason.
 * @template {{ readonly id: string }} L
 * @param {readonly L[]} lines
 * @param {(one: L, other: L) => number} compare
 * @param {boolean} isDescending
 */
export function sortedBy(lines, compare, isDescending) {
  const sign = isDescending ? -1 : 1;
  return lines.toSorted((one, other) => sign * compare(one, other) || compareNames(one.id, other.id));
}

/**
 * The page of lines that is on the screen; one that has vanished becomes the last one.
 * @template L
 * @param {readonly L[]} lines
 * @param {number} page
 * @param {number} perPage
 */
export function paged(lines, page, perPage) {
  const last = Math.max(0, Math.ceil(lines.length / perPage) - 1);
  const shown = Math.min(page, last);
  const from = shown * perPage;
  const to = Math.min(lines.length, from + perPage);
  return {
    page: shown,
    isLast: shown === last,
    lines: lines.slice(from, to),
    range: lines.length === 0 ? "0" : `${count(from + 1)} to ${count(to)} of ${count(lines.length)}`,
  };
}
