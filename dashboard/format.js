/** Numbers and times as they stand in the tables. */

const whole = new Intl.NumberFormat("en");

/** @param {number} value */
export function count(value) {
  return whole.format(value);
}

/**
 * Three digits that matter: 0.31, 4.2, 57.
 * @param {number} value
 */
export function decimal(value) {
  const size = Math.abs(value);
  return value.toFixed(size < 1 ? 2 : size < 10 ? 1 : 0);
}

/**
 * A difference, with its sign.
 * @param {number} value
 */
export function signed(value) {
  const text = decimal(Math.abs(value));
  return Number(text) === 0 ? "0" : `${value < 0 ? "−" : "+"}${text}`;
}

/**
 * @param {number} part
 * @param {number} all more than 0
 */
export function percent(part, all) {
  const share = (100 * part) / all;
  if (part > 0 && share < 0.1) return "< 0.1 %";
  return `${share < 10 && part > 0 ? share.toFixed(1) : share.toFixed(0)} %`;
}

/** @param {Iterable<number>} values */
export function sum(values) {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** @param {number} ms */
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds > 0 && seconds < 0.95) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/**
 * @param {number} one
 * @param {string} noun in the singular
 */
export function many(one, noun) {
  return `${count(one)} ${noun}${one === 1 ? "" : "s"}`;
}

/**
 * The time of day, in the reader's own zone.
 * @param {number} at
 * @param {string} [timeZone]
 * @param {"medium" | "short"} [timeStyle] with seconds or without
 */
export function clock(at, timeZone, timeStyle = "medium") {
  return new Intl.DateTimeFormat("en-GB", { timeStyle, ...(timeZone && { timeZone }) }).format(at);
}

/**
 * The time of day, with its day if that is not today.
 * @param {number} at
 * @param {number} now
 * @param {string} [timeZone]
 */
export function moment(at, now, timeZone) {
  const zone = timeZone && { timeZone };
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", ...zone });
  const time = clock(at, timeZone);
  return day.format(at) === day.format(now) ? time : `${day.format(at)}, ${time}`;
}

/**
 * A day with its year, in the reader's own zone.
 * @param {number} at
 * @param {string} [timeZone]
 */
export function date(at, timeZone) {
  return new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", ...(timeZone && { timeZone }) }).format(at);
}

/** Of a long name, what a table shows: two lines of its column. */
const SHOWN_BEGIN = 24;
const SHOWN_END = 12;

/**
 * A long name without its middle: ids are told apart by how they begin and end.
 * @param {string} name
 */
export function shortened(name) {
  if (name.length <= SHOWN_BEGIN + SHOWN_END + 1) return name;
  return `${name.slice(0, SHOWN_BEGIN)}…${name.slice(-SHOWN_END)}`;
}

/** Names that a sentence has room for; the rest are counted. */
const NAMED = 3;

/** @param {readonly string[]} names */
export function someOf(names) {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${count(more)} more` : "");
}

/**
 * The API's sentences begin small, since programs put them behind a colon.
 * @param {string} text
 */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
