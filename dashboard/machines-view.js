import { choose, chooseAmong, chooser, whenChosen } from "./chosen-machines.js";
/** @import { MachineLine, SortKey } from "./machines.js" */
/** @import { Column } from "./table.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { providerCommand } from "./commands.js";
import { showDetails } from "./details.js";
import { byId, elementOf, setText } from "./dom.js";
import { count, decimal } from "./format.js";
import { MACHINE_WORDS, wordsOf } from "./glossary.js";
import { openMachine } from "./machine-dialog.js";
import { filtered, machineLines, machinesSummary, SHOWN, sorted } from "./machines.js";
import { PagedTable } from "./paged-table.js";
import { keep, kept } from "./tab-memory.js";
import { opener, text } from "./table.js";

/** The machines on the page. */

/** @type {readonly (Column<MachineLine> & { sortKey?: SortKey })[]} */
const COLUMNS = [
  { label: "Machine", kind: "head", sortKey: "id", fill: nameAndBox },
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

/** @type {Column<MachineLine>["fill"]} */
function nameAndBox(cell) {
  const showName = opener((/** @type {MachineLine} */ { id }) => id, openMachine)(cell);
  const showBox = chooser(cell);
  return (line) => {
    showName(line);
    showBox(line);
  };
}

const filter = elementOf(HTMLInputElement, "machines-filter");
const show = elementOf(HTMLSelectElement, "machines-show");

const table = new PagedTable("machines", {
  columns: COLUMNS,
  filtered: (lines) => filtered(lines, filter.value, show.value),
  sorted,
  order: { key: "id", isDescending: false },
  largestFirst: ["memory", "inFlight", "speed"],
});

for (const { value, label } of SHOWN) show.append(new Option(label, value));
for (const [name, control] of /** @type {const} */ ([
  ["machines-filter", filter],
  ["machines-show", show],
])) {
  const before = control.value;
  control.value = kept(name) ?? before;
  // A list has nothing chosen if what was kept is no choice any more.
  if (control === show && show.selectedIndex === -1) show.value = before;
  control.addEventListener("input", () => {
    keep(name, control.value);
    table.filterAnew();
  });
}

showDetails(byId("machines-words"), [...MACHINE_WORDS, ...wordsOf(COLUMNS)]);

/** @type {readonly MachineLine[]} */
let lines = [];

byId("machines-choose").addEventListener("click", () => {
  choose(filtered(lines, filter.value, show.value).map(({ id }) => id));
});
whenChosen(() => table.show(lines));

/** @param {Snapshot} snapshot */
export function showMachines(snapshot) {
  lines = machineLines(snapshot);
  setText(byId("machines-summary"), machinesSummary(lines));
  byId("machines-empty").hidden = lines.length > 0;
  byId("machines-tools").hidden = lines.length === 0;
  setText(byId("machines-command"), providerCommand(location.origin));
  chooseAmong(snapshot);
}
