/** @import { MachineLine, Order, SortKey } from "./machines.js" */
/** @import { Column } from "./table.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { providerCommand } from "./commands.js";
import { byId, elementOf, setText } from "./dom.js";
import { count, decimal } from "./format.js";
import { openMachine } from "./machine-dialog.js";
import { filtered, machineLines, machinesSummary, paged, SHOWN, sorted } from "./machines.js";
import { opener, Table, text } from "./table.js";

/** The machines on the page: one screenful of rows at a time, so that a thousand are no slower than fifty. */

const PER_PAGE = 50;

/** @type {readonly (Column<MachineLine> & { sortKey?: SortKey })[]} */
const COLUMNS = [
  { label: "Machine", kind: "head", sortKey: "id", fill: opener(({ id }) => id, openMachine) },
  {
    label: "Chip",
    sortKey: "chip",
    fill: text(({ chip }) => chip),
  },
  {
    label: "Memory",
    kind: "number",
    sortKey: "memory",
    fill: text(({ memoryGb }) => `${decimal(memoryGb)} GB`),
  },
  {
    label: "Model",
    hint: "The pool that it is assigned to, or those in which it waits",
    sortKey: "model",
    fill: text(
      ({ model }) => model,
      ({ holding }) => holding,
    ),
  },
  {
    label: "State",
    sortKey: "state",
    fill: text(
      ({ state }) => state,
      ({ cordoned }) => (cordoned ? "cordoned" : ""),
      ({ tone }) => `sign ${tone}`,
    ),
  },
  {
    label: "What it does, or why it is idle",
    kind: "wide",
    fill: text(
      ({ why }) => why,
      ({ fix }) => fix,
    ),
  },
  { label: "In flight", kind: "number", sortKey: "inFlight", fill: text(({ inFlight }) => count(inFlight)) },
  {
    label: "Speed",
    hint: "Tokens a second of one stream",
    kind: "number",
    sortKey: "speed",
    fill: text(({ decodeTps }) => (decodeTps === null ? "–" : `${decimal(decodeTps)} tok/s`)),
  },
];

/** @type {readonly MachineLine[]} */
let all = [];
/** @type {Order} */
let order = { key: "id", isDescending: false };
let page = 0;

const filter = elementOf(HTMLInputElement, "machines-filter");
const show = elementOf(HTMLSelectElement, "machines-show");
const sort = elementOf(HTMLSelectElement, "machines-sort");
const previous = elementOf(HTMLButtonElement, "machines-previous");
const next = elementOf(HTMLButtonElement, "machines-next");

const table = new Table(
  byId("machines-table"),
  COLUMNS,
  ({ id }) => id,
  (key) => {
    const column = COLUMNS.find(({ sortKey }) => sortKey === key)?.sortKey ?? "id";
    sortBy(column, order.key === column ? !order.isDescending : isBestLast(column));
  },
);

for (const { value, label } of SHOWN) show.append(new Option(label, value));
for (const { sortKey, label } of COLUMNS) if (sortKey !== undefined) sort.append(new Option(label, sortKey));
for (const control of [filter, show]) control.addEventListener("input", () => turnTo(0));
sort.addEventListener("input", () => {
  const column = COLUMNS.find(({ sortKey }) => sortKey === sort.value)?.sortKey ?? "id";
  sortBy(column, isBestLast(column));
});
previous.addEventListener("click", () => turnTo(page - 1));
next.addEventListener("click", () => turnTo(page + 1));

/** @param {Snapshot} snapshot */
export function showMachines(snapshot) {
  all = machineLines(snapshot);
  setText(byId("machines-summary"), machinesSummary(all));
  byId("machines-empty").hidden = all.length > 0;
  byId("machines-tools").hidden = all.length === 0;
  setText(byId("machines-command"), providerCommand(location.origin));
  render();
}

function render() {
  const lines = sorted(filtered(all, filter.value, show.value), order);
  const shown = paged(lines, page, PER_PAGE);
  ({ page } = shown);
  table.show(shown.lines);
  table.markSorted(order.key, order.isDescending);
  setText(byId("machines-range"), shown.range);
  previous.disabled = page === 0;
  next.disabled = shown.isLast;
  byId("machines-none").hidden = lines.length > 0 || all.length === 0;
}

/** @param {number} wanted */
function turnTo(wanted) {
  page = wanted;
  render();
}

/**
 * @param {SortKey} key
 * @param {boolean} isDescending
 */
function sortBy(key, isDescending) {
  order = { key, isDescending };
  sort.value = key;
  turnTo(0);
}

/**
 * Of amounts one wants to see the largest first.
 * @param {SortKey} key
 */
function isBestLast(key) {
  return key === "memory" || key === "inFlight" || key === "speed";
}
