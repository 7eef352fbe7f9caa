/** @import { Usage } from "./snapshot.js" */
import { clock, count, many, percent, sum } from "./format.js";
import { isRefusal } from "./refusals.js";

/** What was asked in each hour of the last day, of one model or of all. The page has read it already, for the pools. */

const HOUR_MS = 3_600_000;
const HOURS = 24;

/**
 * @typedef {object} Hour
 * @property {number} at its start
 * @property {number} requests refused ones included
 * @property {number} refused for lack of room
 * @property {number} tokens of prompts and answers
 */

/**
 * @param {Pick<Usage, "rows">} usage
 * @param {string | null} model null for all
 * @param {number} now
 * @returns {Hour[]} the present hour is the last
 */
export function hoursOf({ rows }, model, now) {
  const first = now - (now % HOUR_MS) - (HOURS - 1) * HOUR_MS;
  const hours = Array.from({ length: HOURS }, (_, index) => ({
    at: first + index * HOUR_MS,
    requests: 0,
    refused: 0,
    tokens: 0,
  }));
  for (const { model_id, hour_at, outcome, requests, prompt_tokens, completion_tokens } of rows) {
    const hour = hours[(hour_at - first) / HOUR_MS];
    if (hour === undefined || (model !== null && model_id !== model)) continue;
    hour.requests += requests;
    if (isRefusal(outcome)) hour.refused += requests;
    hour.tokens += prompt_tokens + completion_tokens;
  }
  return hours;
}

/**
 * The day in words, for whoever does not see the bars.
 * @param {readonly Hour[]} hours
 * @param {string} [timeZone] the reader's own if there is none
 */
export function daySentence(hours, timeZone) {
  const all = sum(hours.map(({ requests }) => requests));
  if (all === 0) return "No request in the last day.";
  const refused = sum(hours.map(({ refused: some }) => some));
  const tokens = sum(hours.map(({ tokens: some }) => some));
  const busiest = hours.reduce((most, hour) => (hour.requests > most.requests ? hour : most));
  return [
    `Last day: ${many(all, "request")}`,
    refused === 0 ? "none refused" : `${count(refused)} refused (${percent(refused, all)})`,
    many(tokens, "token"),
    `most in the hour from ${clock(busiest.at, timeZone, "short")}: ${count(busiest.requests)}`,
  ].join(", ");
}

/**
 * One bar in words.
 * @param {Hour} hour
 * @param {string} [timeZone]
 */
export function hourSentence({ at, requests, refused, tokens }, timeZone) {
  const from = clock(at, timeZone, "short");
  const to = clock(at + HOUR_MS, timeZone, "short");
  return `${from} to ${to}: ${many(requests, "request")}, ${count(refused)} refused, ${many(tokens, "token")}`;
}
