/** @import { Placement } from "./placement.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { duration, moment } from "./format.js";
import { adoptedWords, apart, numbersOf, wayOf } from "./placement.js";
import { moveReason } from "./words.js";

/** The moves before: what plans and operators have ordered, and what came of it. */

/** @typedef {Snapshot["utilization"]["model_pools"]["last_switches"][number]} Switch */

/**
 * @typedef {object} HistoryLine
 * @property {string} key
 * @property {string} at
 * @property {string} machine
 * @property {string} way
 * @property {string} why
 * @property {string} terms empty for what no plan has made, and for a machine that stays
 * @property {string} outcome
 * @property {boolean} isFailed
 */

/** More of them are in the API. */
const HISTORY_MAX = 50;

/**
 * Planned moves and orders of operators in one list, the newest first, each with what came of it.
 * @param {Snapshot} snapshot
 * @param {string} [timeZone] the reader's own if there is none
 * @returns {HistoryLine[]}
 */
export function historyLines({ placement, utilization }, timeZone) {
  const { switches, relapses } = splitRelapses(utilization.model_pools.last_switches);
  const planned = placement.history.flatMap(({ at, mode, moves }) => {
    const outcomes = new Map(
      moves.map((move) => {
        const order = orderOf(move);
        const entry = switches.get(order);
        // Only those that no plan has made are left for the second list.
        if (move.epoch !== null) switches.delete(order);
        return [
          move,
          move.epoch === null ? { outcome: `not sent (${mode})`, isFailed: false } : outcomeOf(entry),
        ];
      }),
    );
    // One that has failed has something to tell.
    const adopted = new Set(apart(moves.filter((move) => outcomes.get(move)?.isFailed === false)).adopted);
    const lines = moves
      .filter((move) => !adopted.has(move))
      .map((move) => ({
        at,
        key: `${at} ${move.machine_id} ${move.to}`,
        machine: move.machine_id,
        way: wayOf(move.from, move.to),
        why: moveReason(move.reason),
        terms: numbersOf(move).terms,
        ...(outcomes.get(move) ?? outcomeOf(undefined)),
      }));
    return adopted.size === 0 ? lines : [...lines, adoptedLine(at, mode, [...adopted])];
  });
  const ordered = [...relapses, ...switches.values()].map((entry) => ({
    at: entry.at,
    key: `${entry.at} ${orderOf(entry)}`,
    machine: entry.machine_id,
    // It does not stay where it has failed.
    way:
      entry.from === entry.to && entry.outcome === "failed"
        ? `in ${entry.to ?? "no pool"}`
        : wayOf(entry.from, entry.to),
    why: moveReason(entry.reason),
    terms: "",
    ...outcomeOf(entry),
  }));
  return [...planned, ...ordered]
    .toSorted((one, other) => other.at - one.at)
    .slice(0, HISTORY_MAX)
    .map((line) => ({ ...line, at: moment(line.at, utilization.at, timeZone) }));
}

/**
 * @param {number} at
 * @param {string} mode
 * @param {readonly Pick<Placement["moves"][number], "epoch">[]} adopted
 */
function adoptedLine(at, mode, adopted) {
  const isSent = adopted.some(({ epoch }) => epoch !== null);
  const outcome = isSent ? "ordered" : `not sent (${mode})`;
  return { at, key: `${at} adopted`, ...adoptedWords(adopted.length), terms: "", outcome, isFailed: false };
}

/**
 * How each order ended, and what came later under one that had ended already: a machine that had served and failed.
 * @param {readonly Switch[]} entries the newest first
 */
function splitRelapses(entries) {
  /** @type {Map<string, Switch>} */
  const switches = new Map();
  /** @type {Switch[]} */
  const relapses = [];
  for (const entry of entries) {
    const later = switches.get(orderOf(entry));
    if (later !== undefined) relapses.push(later);
    switches.set(orderOf(entry), entry);
  }
  return { switches, relapses };
}

/** @param {{ readonly machine_id: string, readonly epoch: number | null }} move */
function orderOf({ machine_id, epoch }) {
  return `${machine_id} ${epoch ?? ""}`;
}

/** @param {Switch | undefined} entry */
function outcomeOf(entry) {
  if (entry === undefined) return { outcome: "ordered", isFailed: false };
  const took = duration(entry.took_ms);
  switch (entry.outcome) {
    case "succeeded":
      return { outcome: `succeeded in ${took}`, isFailed: false };
    case "superseded":
      return { outcome: `overtaken by a newer order after ${took}`, isFailed: false };
    default:
      return { outcome: `failed after ${took}: ${entry.error ?? "no reason given"}`, isFailed: true };
  }
}
