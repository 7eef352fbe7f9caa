/** @import { MoveLine, StayLine } from "./placement.js" */
/** @import { Column } from "./table.js" */
import { text } from "./table.js";

/** How moves, and the reasons of those that stay, are shown, be they planned or only asked about. */

/** @type {readonly Column<MoveLine>[]} */
export const MOVES = [
  { label: "Machine", kind: "head", fill: text(({ machine }) => machine) },
  { label: "Move", fill: text(({ way }) => way) },
  { label: "Because", kind: "wide", fill: text(({ why }) => why) },
  {
    label: "Gain",
    hint:
      "Requests a second: what the new pool gains, less what the old one loses, less the minimum gain. For a floor, or as a " +
      "pool's first machine, one may move for less",
    kind: "number",
    fill: text(
      ({ net }) => net,
      ({ terms }) => terms,
    ),
  },
];

/** @type {readonly Column<StayLine>[]} */
export const STAYS = [
  { label: "Because", kind: "head", fill: text(({ why }) => why) },
  { label: "Machines", kind: "number", fill: text(({ machines }) => machines) },
  { label: "Best move that was considered", kind: "wide", fill: text(({ best }) => best) },
];
