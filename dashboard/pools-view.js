/** @import { PoolLine, PoolSort } from "./pools.js" */
/** @import { Column } from "./table.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { catalogCommand } from "./commands.js";
import { DayChart } from "./day-chart.js";
import { hoursOf } from "./day-use.js";
import { showDetails } from "./details.js";
import { byId, elementOf, say, setText } from "./dom.js";
import { clock, count, many } from "./format.js";
import { POOL_WORDS, wordsOf } from "./glossary.js";
import { openModel } from "./model-dialog.js";
import { PagedTable } from "./paged-table.js";
import { filteredPools, longestBar, poolLines, poolsSummary, sortedPools, titleOf } from "./pools.js";
import { keep, kept } from "./tab-memory.js";
import { opener, text } from "./table.js";

/** The pools on the page. Beside the numbers a bar: machines that are ready and that load, and a mark at the demand. */

const SVG = "http://www.w3.org/2000/svg";
const BAR = { width: 120, height: 14 };

/** Of the bars of all rows, in machines; known before a row is drawn. */
let longest = 1;

/** @type {readonly (Column<PoolLine> & { sortKey?: PoolSort })[]} */
const COLUMNS = [
  { label: "Model", kind: "head", sortKey: "id", fill: opener(({ id }) => id, openModel) },
  {
    label: "Supply",
    sortKey: "supply",
    hint: "Machines that are ready, beside those that the measured demand keeps busy",
    fill: text(
      ({ verdict }) => verdict,
      ({ remedy }) => remedy,
      ({ supply }) => `sign ${supply}`,
    ),
  },
  { label: "Ready and demand", kind: "wide", fill: bar },
  {
    label: "Ready",
    sortKey: "ready",
    hint: "Machines that requests can reach",
    kind: "number",
    fill: text(
      (line) => shown(line, line.ready),
      ({ unassigned, isAnswering }) =>
        isAnswering && unassigned > 0 ? `${count(unassigned)} unmanaged` : "",
    ),
  },
  {
    label: "Loading",
    hint: "Machines on their way",
    kind: "number",
    fill: text((line) => shown(line, line.coming)),
  },
  {
    label: "Desired",
    hint: "Machines that the plan or an operator wants here",
    kind: "number",
    fill: text(({ desired }) => (desired === null ? "–" : count(desired))),
  },
  {
    label: "Demand",
    sortKey: "demand",
    hint: "Machines that the measured demand keeps busy, refused requests included",
    kind: "number",
    fill: text(({ demand }) => (demand === null ? "–" : count(demand))),
  },
  {
    label: "In flight",
    sortKey: "inFlight",
    hint: "Requests on machines",
    kind: "number",
    fill: text(
      (line) => shown(line, line.inFlight),
      ({ freeSlots, isAnswering }) => (isAnswering ? `${count(freeSlots)} free` : ""),
    ),
  },
  {
    label: "In line",
    sortKey: "queued",
    hint: "Requests that wait for a slot",
    kind: "number",
    fill: text((line) => shown(line, line.queued)),
  },
  {
    label: "Refused",
    sortKey: "refused",
    hint: "For lack of room, of all requests of this hour and the last; red if there were some in the last minutes",
    kind: "number",
    fill: text(
      ({ refusals }) => refusals?.share ?? "?",
      ({ refusals }) => refusals?.detail ?? "",
      ({ refusals }) => (refusals?.isLately === true ? "warn" : ""),
    ),
  },
];

/** As many as one sees at once need no filter. */
const FEW = 10;

const filter = elementOf(HTMLInputElement, "pools-filter");

const day = new DayChart(byId("pools-day"));

const table = new PagedTable("pools", {
  columns: COLUMNS,
  filtered: (lines) => (lines.length > FEW ? filteredPools(lines, filter.value) : lines),
  sorted: sortedPools,
  order: { key: "supply", isDescending: false },
  largestFirst: ["ready", "demand", "inFlight", "queued", "refused"],
});

filter.value = kept("pools-filter") ?? "";
filter.addEventListener("input", () => {
  keep("pools-filter", filter.value);
  table.filterAnew();
});

showDetails(byId("pools-words"), [...POOL_WORDS, ...wordsOf(COLUMNS)]);

/** @param {Snapshot} snapshot */
export function showPools(snapshot) {
  const lines = poolLines(snapshot);
  longest = longestBar(lines);
  document.title = titleOf(lines);
  table.show(lines);
  const since = lines[0]?.refusals?.since;
  setText(
    byId("pools-summary"),
    poolsSummary(lines) +
      (since === undefined ? "" : ` · refusals from ${clock(since, undefined, "short")} on`),
  );
  byId("pools-empty").hidden = lines.length > 0;
  byId("pools-tools").hidden = lines.length <= FEW;
  byId("pools-legend").hidden = lines.length === 0;
  const { usage, utilization } = snapshot;
  day.show(usage === null || lines.length === 0 ? null : hoursOf(usage, null, utilization.at));
  setText(byId("pools-command"), catalogCommand(location.origin));
  const silent = snapshot.utilization.model_pools.unreachable_pools;
  const resident = snapshot.utilization.model_pools.co_resident_machines;
  const problems = [
    ...(silent.length > 0
      ? [`No answer from ${silent.join(", ")}: numbers are missing, and machines there look offline.`]
      : []),
    ...(resident > 0
      ? [
          `${many(resident, "machine")} with more than one model in memory: this is a defect, please report it.`,
        ]
      : []),
  ];
  say(byId("pools-problem"), problems.join(" "));
}

/**
 * @param {PoolLine} line
 * @param {number} value
 */
function shown({ isAnswering }, value) {
  return isAnswering ? count(value) : "?";
}

/** @type {Column<PoolLine>["fill"]} */
function bar(cell) {
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", `0 0 ${BAR.width} ${BAR.height}`);
  picture.setAttribute("preserveAspectRatio", "xMinYMid");
  // The numbers beside it say the same.
  picture.setAttribute("aria-hidden", "true");
  picture.classList.add("picture");
  const [track, ready, loading, demand] = ["track", "ready", "loading", "demand"].map((name) => {
    const shape = document.createElementNS(SVG, "rect");
    shape.classList.add(name);
    picture.append(shape);
    return shape;
  });
  cell.append(picture);
  const x = (/** @type {number} */ machines) => (machines / longest) * (BAR.width - 4) + 1;
  return (line) => {
    place(track, 1, BAR.width - 1);
    const [held, coming] = line.isAnswering ? [line.ready, line.coming] : [0, 0];
    place(ready, 1, x(held));
    place(loading, x(held), x(held + coming));
    const at = x(line.demand ?? 0);
    place(demand, at, line.demand === null ? at : at + 2, 1);
  };
}

/**
 * @param {SVGRectElement | undefined} shape
 * @param {number} from
 * @param {number} to
 * @param {number} top
 */
function place(shape, from, to, top = 4) {
  shape?.setAttribute("x", from.toFixed(1));
  shape?.setAttribute("width", Math.max(0, to - from).toFixed(1));
  shape?.setAttribute("y", String(top));
  shape?.setAttribute("height", String(BAR.height - 2 * top));
}
