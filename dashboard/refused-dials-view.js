/** @import { RefusedLine } from "./refused-dials.js" */
/** @import { Column } from "./table.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { byId, make } from "./dom.js";
import { addModel } from "./model-dialog.js";
import { refusedLines } from "./refused-dials.js";
import { Table, text } from "./table.js";

/** The machines that were turned away, on the page; nothing as long as there are none. */

/** @type {readonly Column<RefusedLine>[]} */
const COLUMNS = [
  { label: "Model", kind: "head", fill: text(({ model }) => model) },
  { label: "Offered by", kind: "wide", fill: text(({ machines }) => machines) },
  { label: "Asked last", fill: text(({ asked }) => asked) },
  { label: "What helps", fill: adder },
];

const table = new Table(byId("refused-table"), COLUMNS, ({ model }) => model);

/** @param {Snapshot} snapshot */
export function showRefused({ utilization }) {
  const lines = refusedLines(utilization.model_pools, utilization.at);
  byId("refused").hidden = lines.length === 0;
  table.show(lines);
}

/** @type {Column<RefusedLine>["fill"]} */
function adder(cell) {
  const button = cell.appendChild(make("button", "", "Add it"));
  button.type = "button";
  button.setAttribute("aria-haspopup", "dialog");
  button.dataset["changes"] = "";
  let id = "";
  button.addEventListener("click", () => addModel(id));
  return ({ model }) => {
    id = model;
    button.ariaLabel = `Add ${model} to the catalog`;
  };
}
