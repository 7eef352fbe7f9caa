/** @import { FlagLine } from "./flags.js" */
/** @import { Column } from "./table.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { byId } from "./dom.js";
import { fillFlagForm, warnBy } from "./flag-form.js";
import { flagLines } from "./flags.js";
import { Table, text } from "./table.js";

/** @type {readonly Column<FlagLine>[]} */
const COLUMNS = [
  {
    label: "Flag",
    kind: "head",
    fill: text(
      ({ name }) => name,
      ({ about }) => about,
    ),
  },
  {
    label: "Value",
    fill: text(
      ({ value }) => value,
      ({ problem }) => problem,
      ({ isChanged }) => (isChanged ? "changed" : ""),
    ),
  },
  { label: "Initially", fill: text(({ initial }) => initial) },
  { label: "Change", kind: "wide", fill: fillFlagForm },
];

const table = new Table(byId("flags-table"), COLUMNS, ({ name }) => name);

/** @param {Snapshot} snapshot */
export function showFlags(snapshot) {
  warnBy(snapshot);
  table.show(flagLines(snapshot));
}
