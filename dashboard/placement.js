/** @import { Snapshot } from "./snapshot.js" */
import { count, decimal, duration, many, sentence, signed } from "./format.js";
import { byModel } from "./lists.js";
import { haltReason, moveReason, stayReason } from "./words.js";

/** What the page says of the planner: in which mode it is, what its last plan was, and what came of those before. */

/** @typedef {Snapshot["placement"]} Placement */
/** @typedef {Placement["moves"][number]} Move */

/**
 * During a deploy the answer may come from a version that knows no trial.
 * @param {Omit<Placement, "trial"> & Partial<Pick<Placement, "trial">>} placement
 * @returns {string}
 */
export function modeSentence({ placement, acts_as, trial = null }) {
  switch (placement) {
    case "off":
      return "off: demand is measured, and nothing is planned";
    case "shadow":
      return "shadow: plans are shown and not carried out";
    case "enforce":
      if (acts_as === "enforce") return "enforce: plans are carried out";
      return trial === null
        ? "enforce, but acts as shadow: the flag assignment_gate is off, so no order is sent"
        : `enforce, but acts as shadow: ${trialSentence(trial)}`;
  }
}

/** @param {NonNullable<Placement["trial"]>} trial */
function trialSentence({ days, days_won, has_fallen_back }) {
  const lost = has_fallen_back ? "its moves have won less than nothing, so " : "";
  return `${lost}it has to win on ${days === 1 ? "a day" : `${days} days in a row`} before it moves machines, and has on ${days_won ?? 0}`;
}

/**
 * @param {Placement} placement
 * @param {number} now
 */
export function planSentence({ placement, at, elapsed_seconds, budget, halted, warnings }, now) {
  return [lastTick({ placement, at, elapsed_seconds, budget, halted }, now), ...warnings.map(asSentence)]
    .filter((words) => words !== "")
    .join(" ");
}

/** @param {string} warning */
function asSentence(warning) {
  return `${sentence(warning)}.`;
}

/**
 * @param {Pick<Placement, "placement" | "at" | "elapsed_seconds" | "budget" | "halted">} plan
 * @param {number} now
 */
function lastTick({ placement, at, elapsed_seconds, budget, halted }, now) {
  if (at === null) return placement === "off" ? "" : "There is no plan yet: the first tick is still to come.";
  const made = `Last tick ${duration(now - at)} ago`;
  if (placement === "off") return `${made}.`;
  const seen = elapsed_seconds === null ? "" : `, over ${duration(elapsed_seconds * 1000)} of demand`;
  if (halted !== null) return `${made}${seen}. ${haltReason(halted)}`;
  return `${made}${seen}${budget === null ? "" : allowanceWords(budget)}.`;
}

/** @param {number} budget orders that the tick could send */
function allowanceWords(budget) {
  if (budget > 0) return `, with at most ${many(budget, "move")}`;
  return ", with no move, since max_loads_per_tick or max_pending_loads allows none";
}

/** @param {Placement} placement */
export function noMovesSentence({ placement, moves, at }) {
  if (moves.length > 0) return "";
  if (placement === "off") {
    return "Set the flag placement to shadow to see here what would be moved, and why.";
  }
  return at === null ? "There is no plan yet." : "It moves nothing.";
}

/**
 * @typedef {object} MoveLine
 * @property {string} key
 * @property {string} machine
 * @property {string} way
 * @property {string} why
 * @property {string} net gain in requests/s, empty for a machine that stays
 * @property {string} terms of which it is made
 * @property {string} order
 */

/**
 * @param {Pick<Placement, "moves">} plan
 * @returns {MoveLine[]}
 */
export function moveLines({ moves }) {
  const { shown, adopted } = apart(moves);
  const lines = shown.map((move) => ({
    key: move.machine_id,
    machine: move.machine_id,
    way: wayOf(move.from, move.to),
    why: moveReason(move.reason),
    ...numbersOf(move),
    order: move.epoch === null ? "not sent" : `sent, epoch ${move.epoch}`,
  }));
  if (adopted.length === 0) return lines;
  const order = adopted.every(({ epoch }) => epoch === null) ? "not sent" : "sent";
  return [...lines, { key: "adopted", ...adoptedWords(adopted.length), net: "", terms: "", order }];
}

/** As many as need no line of their own for all of them together. */
const FEW_ADOPTED = 3;

/**
 * Moves that are shown one by one, and machines that only get to hold by order what they hold: a fleet that is planned for
 * the first time has hundreds, and nothing happens to them.
 * @template {Pick<Move, "from" | "to">} M
 * @param {readonly M[]} moves
 * @returns {{ shown: readonly M[], adopted: readonly M[] }}
 */
export function apart(moves) {
  const adopted = moves.filter(({ from, to }) => from === to);
  if (adopted.length <= FEW_ADOPTED) return { shown: moves, adopted: [] };
  return { shown: moves.filter(({ from, to }) => from !== to), adopted };
}

/** @param {number} machines */
export function adoptedWords(machines) {
  return {
    machine: many(machines, "machine"),
    way: "stay where they are",
    why: "nobody had placed them; they keep what they hold",
  };
}

/**
 * @param {string | null} from
 * @param {string | null} to
 */
export function wayOf(from, to) {
  if (from === to) return `stays in ${to ?? "no pool"}`;
  return `${from ?? "no pool"} → ${to ?? "no pool"}`;
}

/**
 * Of a machine that stays where it is there is nothing to weigh up.
 *
 * @param {Pick<Move, "from" | "to" | "won_rps" | "lost_rps" | "gate_rps">} move
 */
export function numbersOf({ from, to, won_rps, lost_rps, gate_rps }) {
  if (from === to) return { net: "", terms: "" };
  return {
    net: signed(won_rps - lost_rps - gate_rps),
    terms: `gains ${decimal(won_rps)}, loses ${decimal(lost_rps)}, minimum gain ${decimal(gate_rps)}`,
  };
}

/**
 * @typedef {object} StayLine
 * @property {string} reason
 * @property {string} why
 * @property {string} machines how many
 * @property {string} best the best move that was considered for one of them
 */

/**
 * Machines that stay, by reason, the most frequent first. One that is adopted is among the moves and the machines.
 * @param {Pick<Placement, "moves" | "machines">} plan
 * @returns {StayLine[]}
 */
export function stayLines({ moves, machines }) {
  const moved = new Set(moves.map(({ machine_id }) => machine_id));
  /** @type {Map<string, Placement["machines"][number][]>} */
  const groups = new Map();
  for (const stay of machines) {
    if (moved.has(stay.machine_id)) continue;
    const group = groups.get(stay.reason);
    if (group === undefined) groups.set(stay.reason, [stay]);
    else group.push(stay);
  }
  return [...groups]
    .toSorted(([, one], [, other]) => other.length - one.length)
    .map(([reason, stays]) => ({
      reason,
      why: stayReason(reason),
      machines: count(stays.length),
      best: bestOf(stays),
    }));
}

/** @param {readonly Placement["machines"][number][]} stays */
function bestOf(stays) {
  let best = stays[0];
  for (const stay of stays)
    if ((stay.best_gain_rps ?? -Infinity) > (best?.best_gain_rps ?? -Infinity)) best = stay;
  if (best?.best_target == null || best.best_gain_rps === null) return "–";
  return `${best.machine_id} → ${best.best_target}: ${signed(best.best_gain_rps)} requests/s`;
}

/**
 * @typedef {object} DemandLine
 * @property {string} model
 * @property {string} offered
 * @property {string} inTime of them, or of those before
 * @property {string} demand requests/s, with the deviation of the load
 * @property {string} capacity requests/s
 * @property {string} needed machines, or that none fits
 * @property {string} desired machines
 */

/**
 * @param {Pick<Placement, "models" | "placement">} plan
 * @returns {DemandLine[]}
 */
export function demandLines({ models, placement }) {
  return byModel(models).map((model) => ({
    model: model.model_id,
    offered: model.offered === null ? "–" : count(model.offered),
    inTime: model.served_in_time === null ? "–" : count(model.served_in_time),
    demand: `${decimal(model.demand_rps)} ± ${decimal(model.deviation_rps)}`,
    capacity: decimal(model.capacity_rps),
    // However much is asked, there is no machine to count by.
    needed: model.demand_machines === 0 && model.demand_rps > 0 ? "none fits" : count(model.demand_machines),
    desired: placement === "off" ? "–" : count(model.desired),
  }));
}

/**
 * @typedef {object} ScoreLine
 * @property {string} key
 * @property {string} day
 * @property {string} mode
 * @property {string} asked
 * @property {string} inTime
 * @property {string} moved room with the planner's moves, and without them
 * @property {string} unmoved
 * @property {string} gain of the planner's moves, in points
 * @property {string} ofBest room with them, of what there could have been at most
 * @property {string} moves
 * @property {string} pace moves per machine and day
 */

/**
 * What the planner was worth, the newest day first. During a deploy the answer may come from a version that keeps no score.
 * @param {Partial<Pick<Placement, "score">>} plan
 * @returns {ScoreLine[]}
 */
export function scoreLines({ score = [] }) {
  return score.map((row) => {
    // During a deploy it may come from a version that does not count the last one.
    const { day_at, mode, offered, room_as_placed, room_otherwise, room_at_most: most } = row;
    const [moved, unmoved] =
      mode === "shadow" ? [room_otherwise, room_as_placed] : [room_as_placed, room_otherwise];
    return {
      key: `${day_at} ${mode}`,
      day: UTC_DAY.format(day_at),
      mode,
      asked: count(offered),
      inTime: shareOf(row.served_in_time, offered),
      moved: shareOf(moved, offered),
      unmoved: shareOf(unmoved, offered),
      gain: offered === 0 ? "–" : signed((100 * (moved - unmoved)) / offered),
      ofBest: typeof most === "number" ? shareOf(moved, most) : "–",
      moves: count(row.switches),
      pace: row.switches_per_machine_day === null ? "–" : decimal(row.switches_per_machine_day),
    };
  });
}

const UTC_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

/**
 * @param {number} part
 * @param {number} all
 */
function shareOf(part, all) {
  return all === 0 ? "–" : `${((100 * part) / all).toFixed(1)} %`;
}
