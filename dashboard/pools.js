/** @import { Order } from "./lists.js" */
/** @import { Refusals } from "./refusals.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { shedModels } from "./flags.js";
import { count, many, sum } from "./format.js";
import { byModel, compareNames, hasWords, sortedBy } from "./lists.js";
import { refusalsOf } from "./refusals.js";

/** What the table of pools says: whether each model has the machines that its demand needs. */

/** @typedef {"short" | "spare" | "enough" | "unknown" | "off"} Supply */

/**
 * @typedef {object} PoolLine
 * @property {string} id of the model
 * @property {Supply} supply
 * @property {string} verdict the supply in words
 * @property {string} remedy what is under way, or went wrong
 * @property {boolean} isAnswering its numbers are missing if not
 * @property {number} ready machines that requests can reach
 * @property {number} unassigned those of them that nobody has assigned, which other pools may count too
 * @property {number} coming machines that finish elsewhere or load
 * @property {number | null} desired null if nobody has decided
 * @property {number | null} demand machines that it would keep busy; null if not measured yet
 * @property {number} inFlight
 * @property {number} queued
 * @property {number} freeSlots
 * @property {Refusals | null} refusals null if they are not known
 */

/** @typedef {Pick<PoolLine, "supply" | "verdict" | "remedy">} Judgement */

/** @typedef {"id" | "supply" | "ready" | "demand" | "inFlight" | "queued" | "refused"} PoolSort */

/** @type {Readonly<Record<PoolSort, (one: PoolLine, other: PoolLine) => number>>} */
const COMPARED = {
  id: (one, other) => compareNames(one.id, other.id),
  // Those with trouble first, and no other difference: the others would change places with each reading.
  supply: (one, other) => Number(isInTrouble(other)) - Number(isInTrouble(one)),
  ready: (one, other) => one.ready - other.ready,
  demand: (one, other) => (one.demand ?? -1) - (other.demand ?? -1),
  inFlight: (one, other) => one.inFlight - other.inFlight,
  queued: (one, other) => one.queued - other.queued,
  refused: (one, other) => (one.refusals?.turnedAway ?? -1) - (other.refusals?.turnedAway ?? -1),
};

/** @param {PoolLine} line */
const isInTrouble = ({ supply, isAnswering }) => supply === "short" || !isAnswering;

/**
 * @param {readonly PoolLine[]} lines
 * @param {Order<PoolSort>} order
 */
export function sortedPools(lines, { key, isDescending }) {
  return sortedBy(lines, COMPARED[key], isDescending);
}

/**
 * @param {readonly PoolLine[]} lines
 * @param {string} words all of which a line must have
 */
export function filteredPools(lines, words) {
  return lines.filter(({ id, verdict }) => hasWords(`${id} ${verdict}`.toLowerCase(), words));
}

/** What is said of a pool that refuses everything by order, whatever machines it has. @type {Judgement} */
const SWITCHED_OFF = { supply: "off", verdict: "switched off", remedy: "by the flag shed_models" };

/**
 * @param {Snapshot} snapshot
 * @returns {PoolLine[]}
 */
export function poolLines({ utilization, placement, usage, flags }) {
  const { pools, unreachable_pools: silent } = utilization.model_pools;
  const { machines } = utilization.model_pools;
  const shed = shedModels(flags);
  const isPlanned = utilization.model_pools.placement !== "off";
  return byModel(pools).map((pool) => {
    const plan = placement.models.find(({ model_id }) => model_id === pool.model_id);
    const ready = pool.serving + pool.unmanaged;
    const demand = plan?.demand_machines ?? null;
    const line = {
      // Without placement nobody keeps it.
      floor: isPlanned ? pool.floor : 0,
      id: pool.model_id,
      isAnswering: !silent.includes(pool.model_id),
      ready,
      unassigned: pool.unmanaged,
      coming: pool.loading + pool.draining,
      failed: pool.failed,
      ...unusable(machines.filter(({ assigned_model }) => assigned_model === pool.model_id)),
      desired: isPlanned || pool.desired > 0 ? pool.desired : null,
      // A pool that no machine fits has a rate of requests and no machine to measure it by.
      demand: demand === 0 && (plan?.demand_rps ?? 0) > 0 ? 1 : demand,
      inFlight: pool.in_flight,
      queued: pool.queued,
      freeSlots: pool.free_slots,
      refusals: usage === null ? null : refusalsOf(usage, pool.model_id, utilization.at),
    };
    return { ...line, ...(shed.has(pool.model_id) ? SWITCHED_OFF : judge(line)) };
  });
}

/**
 * Machines of a pool that are where they belong and get no requests: too hot, say, or cordoned.
 * @param {readonly Snapshot["utilization"]["model_pools"]["machines"][number][]} machines that are assigned to it
 */
function unusable(machines) {
  return {
    keptBack: machines.filter(({ state, explanation }) => state === "assigned" && explanation.gate !== null)
      .length,
    offline: machines.filter(({ state }) => state === "offline").length,
  };
}

/**
 * @param {Pick<PoolLine, "isAnswering" | "ready" | "coming" | "demand" | "queued" | "freeSlots"> &
 *   { failed: number, keptBack: number, offline: number, floor: number }} line
 * @returns {Judgement}
 */
function judge({ isAnswering, ready, coming, failed, keptBack, offline, demand, queued, freeSlots, floor }) {
  const notes = [
    { machines: coming, words: "on the way" },
    { machines: failed, words: "failed" },
    { machines: keptBack, words: "kept back" },
    { machines: offline, words: "offline" },
  ];
  const remedy = notes
    .filter(({ machines }) => machines > 0)
    .map(({ machines, words }) => `${count(machines)} ${words}`)
    .join(", ");
  if (!isAnswering) return { supply: "unknown", verdict: "no answer", remedy: "its numbers are missing" };
  if (demand !== null && demand > ready) {
    const lacking = ready === 0 ? "no machine" : `short by ${count(demand - ready)}`;
    return { supply: "short", verdict: lacking, remedy };
  }
  if (queued > 0 && freeSlots === 0) {
    return { supply: "short", verdict: ready === 0 ? "no machine" : "all busy", remedy };
  }
  if (ready < floor) return { supply: "short", verdict: `${count(floor - ready)} below its floor`, remedy };
  if (demand === null) return { supply: "unknown", verdict: "not measured yet", remedy };
  if (demand === 0 && ready === 0) return { supply: "unknown", verdict: "not in use", remedy };
  const spare = ready - Math.max(demand, floor);
  if (spare > 0) return { supply: "spare", verdict: `${count(spare)} to spare`, remedy };
  return { supply: "enough", verdict: "enough", remedy };
}

/**
 * The longest bar that the table has to draw, in machines.
 * @param {readonly PoolLine[]} lines
 */
export function longestBar(lines) {
  return lines.reduce(
    (longest, { ready, coming, demand }) => Math.max(longest, ready + coming, demand ?? 0),
    1,
  );
}

/**
 * What the browser's tab is called, so that trouble is seen while another one is open.
 * @param {readonly PoolLine[]} lines
 */
export function titleOf(lines) {
  const troubled = lines.filter(isInTrouble).length;
  return troubled === 0 ? "Poolkeeper" : `(${count(troubled)}) Poolkeeper`;
}

/**
 * All pools in one sentence.
 * @param {readonly PoolLine[]} lines
 */
export function poolsSummary(lines) {
  if (lines.length === 0) return "";
  const short = lines.filter(({ supply }) => supply === "short").length;
  const off = lines.filter(({ supply }) => supply === "off").length;
  const running = sum(lines.map(({ inFlight }) => inFlight));
  const waiting = sum(lines.map(({ queued }) => queued));
  const parts = [
    many(lines.length, "pool"),
    ...(short > 0 ? [`${count(short)} short`] : []),
    ...(off > 0 ? [`${count(off)} switched off`] : []),
    `${count(running)} in flight`,
    `${count(waiting)} in line`,
  ];
  return parts.join(" · ");
}
