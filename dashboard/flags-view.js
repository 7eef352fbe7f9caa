/** @import { FlagLine } from "./flags.js" */
/** @import { Column } from "./table.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { flagCommand } from "./commands.js";
import { byId, setText } from "./dom.js";
import { flagLines } from "./flags.js";
import { Table, text } from "./table.js";

/** @type {readonly Column<FlagLine>[]} */
const COLUMNS = [
  {
    label: "Flag",
    kind: "head",
    fill: text(
      ({ name }) => name,
      ({ problem }) => problem,
    ),
  },
  {
    label: "Value",
    fill: text(
      ({ value }) => value,
      undefined,
      ({ isChanged }) => (isChanged ? "changed" : ""),
    ),
  },
  { label: "Initially", fill: text(({ initial }) => initial) },
];

const table = new Table(byId("flags-table"), COLUMNS, ({ name }) => name);

/** @param {Snapshot} snapshot */
export function showFlags(snapshot) {
  table.show(flagLines(snapshot));
  setText(byId("flags-command"), flagCommand(location.origin));
}
