/** @import { Usage, UsageRow } from "./snapshot.js" */
import { clock, count, percent, sum } from "./format.js";

/**
 * What was turned away for lack of room. Usage is counted by the hour, which is too coarse to say whether it goes on: a
 * burst would look like trouble for two hours. So the page compares what it reads with what it has read before.
 */

/**
 * @typedef {object} Refusals
 * @property {number} since start of the first hour that is counted
 * @property {string} share of all requests, "–" without any
 * @property {string} detail
 * @property {number} turnedAway requests
 * @property {boolean} isLately whether it goes on, or has until a few minutes ago
 */

/**
 * The newest hour in which a model was refused, how often in it, and the latest moment at which it may have been.
 * @typedef {{ readonly hourAt: number, readonly requests: number, readonly at: number }} LastRefusal
 */

/** Outcomes that mean: the fleet had no room for it. */
const REFUSED = new Set([
  "pool_exhausted",
  "model_shed",
  "machine_busy",
  "machine_offline",
  "queue_full",
  "queue_timeout",
  "ttft_too_slow",
  "model_unavailable",
]);

/** @param {string} outcome */
export const isRefusal = (outcome) => REFUSED.has(outcome);

const HOUR_MS = 3_600_000;

/** Usage is read once a minute: some readings without a refusal, before one is told that it is over. */
const LATELY_MS = 300_000;

/**
 * By model. Of a count that is read for the first time nobody knows when in its hour it rose, so the latest moment counts.
 * @param {readonly UsageRow[]} rows
 * @param {number} now of the coordinator, whose hours these are
 * @param {ReadonlyMap<string, LastRefusal> | undefined} before of the reading before
 * @returns {Map<string, LastRefusal>}
 */
export function lastRefusals(rows, now, before) {
  /** @type {Map<string, { hourAt: number, requests: number }>} */
  const newest = new Map();
  for (const { model_id, hour_at: hourAt, outcome, requests } of rows) {
    if (!isRefusal(outcome)) continue;
    const known = newest.get(model_id);
    if (known === undefined || hourAt > known.hourAt) newest.set(model_id, { hourAt, requests });
    else if (hourAt === known.hourAt) known.requests += requests;
  }
  return new Map(
    [...newest].map(([model, { hourAt, requests }]) => {
      const known = before?.get(model);
      const isSame = known?.hourAt === hourAt && known.requests === requests;
      return [model, isSame ? known : { hourAt, requests, at: Math.min(now, hourAt + HOUR_MS) }];
    }),
  );
}

/**
 * What came of the requests of this hour and the last.
 * @param {Usage} usage
 * @param {string} model
 * @param {number} now
 * @param {string} [timeZone]
 * @returns {Refusals}
 */
export function refusalsOf({ rows, asOf, refused }, model, now, timeZone) {
  const since = now - (now % HOUR_MS) - HOUR_MS;
  const counted = rows.filter(({ model_id, hour_at }) => model_id === model && hour_at >= since);
  const all = sum(counted.map(({ requests }) => requests));
  const turnedAway = sum(counted.filter(({ outcome }) => isRefusal(outcome)).map(({ requests }) => requests));
  const last = refused.get(model)?.at ?? asOf;
  // Of what came after the last reading, which may have failed since, nobody knows.
  const isLately = turnedAway > 0 && asOf - last < LATELY_MS;
  const isOver = turnedAway > 0 && !isLately;
  const over = isOver ? `, none since ${clock(last, timeZone, "short")}` : "";
  return {
    since,
    share: all === 0 ? "–" : percent(turnedAway, all),
    detail: all === 0 ? "no requests" : `${count(turnedAway)} of ${count(all)}${over}`,
    turnedAway,
    isLately,
  };
}
