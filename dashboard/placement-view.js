/** @import { HistoryLine } from "./placement-history.js" */
/** @import { DemandLine, ScoreLine } from "./placement.js" */
/** @import { Column } from "./table.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { showDetails } from "./details.js";
import { byId, say, setText } from "./dom.js";
import { PLAN_WORDS, wordsOf } from "./glossary.js";
import { MOVES, STAYS } from "./placement-columns.js";
import { historyLines } from "./placement-history.js";
import {
  demandLines,
  modeSentence,
  moveLines,
  noMovesSentence,
  planSentence,
  scoreLines,
  stayLines,
} from "./placement.js";
import { Table, text } from "./table.js";

/** The planner on the page. */

/** @type {readonly Column<DemandLine>[]} */
const DEMAND = [
  { label: "Model", kind: "head", fill: text(({ model }) => model) },
  {
    label: "Asked",
    hint: "Requests since the tick before, refused ones included",
    kind: "number",
    fill: text(({ offered }) => offered),
  },
  {
    label: "In time",
    hint: "Requests that were served in time since then",
    kind: "number",
    fill: text(({ inTime }) => inTime),
  },
  {
    label: "Demand, /s",
    hint: "Requests a second that are planned for, and the standard deviation of the load",
    kind: "number",
    fill: text(({ demand }) => demand),
  },
  {
    label: "Capacity, /s",
    hint: "Requests a second of the machines that serve or will",
    kind: "number",
    fill: text(({ capacity }) => capacity),
  },
  { label: "Machines needed", kind: "number", fill: text(({ needed }) => needed) },
  { label: "Machines desired", kind: "number", fill: text(({ desired }) => desired) },
];

/** @type {readonly Column<ScoreLine>[]} */
const SCORE = [
  { label: "Day (UTC)", kind: "head", fill: text(({ day }) => day) },
  { label: "Mode", fill: text(({ mode }) => mode) },
  {
    label: "Asked",
    hint: "Requests, refused ones included",
    kind: "number",
    fill: text(({ asked }) => asked),
  },
  { label: "In time", kind: "number", fill: text(({ inTime }) => inTime) },
  {
    label: "Room with moves",
    hint: "Requests that the machines had room for where the planner moves them; in shadow would have had",
    kind: "number",
    fill: text(({ moved }) => moved),
  },
  {
    label: "Room without",
    hint: "Requests that they had room for where they were left; in enforce would have had",
    kind: "number",
    fill: text(({ unmoved }) => unmoved),
  },
  {
    label: "Gain, points",
    hint: "Room with the planner's moves, less room without them",
    kind: "number",
    fill: text(({ gain }) => gain),
  },
  {
    label: "Of the best",
    hint: "Room with moves, of what there could have been had every machine held the right model all the time and loads cost nothing",
    kind: "number",
    fill: text(({ ofBest }) => ofBest),
  },
  { label: "Moves", kind: "number", fill: text(({ moves: all }) => all) },
  {
    label: "Per machine and day",
    hint: "Moves per machine and day, once machines were online for a day together",
    kind: "number",
    fill: text(({ pace }) => pace),
  },
];

/** @type {readonly Column<HistoryLine>[]} */
const HISTORY = [
  { label: "At", kind: "head", fill: text(({ at }) => at) },
  { label: "Machine", fill: text(({ machine }) => machine) },
  { label: "Move", fill: text(({ way }) => way) },
  {
    label: "Because",
    kind: "wide",
    fill: text(
      ({ why }) => why,
      ({ terms }) => terms,
    ),
  },
  {
    label: "Outcome",
    fill: text(
      ({ outcome }) => outcome,
      undefined,
      ({ isFailed }) => (isFailed ? "warn" : ""),
    ),
  },
];

const moves = new Table(
  byId("moves-table"),
  [...MOVES, { label: "Order", fill: text(({ order }) => order) }],
  ({ key }) => key,
);
const stays = new Table(byId("stays-table"), STAYS, ({ reason }) => reason);
const demand = new Table(byId("demand-table"), DEMAND, ({ model }) => model);
const score = new Table(byId("score-table"), SCORE, ({ key }) => key);
const history = new Table(byId("history-table"), HISTORY, ({ key }) => key);

showDetails(byId("placement-words"), [
  ...PLAN_WORDS,
  ...wordsOf(MOVES),
  ...wordsOf(DEMAND),
  ...wordsOf(SCORE).filter(({ name }) => name !== "Asked"),
]);

/** @param {Snapshot} snapshot */
export function showPlacement(snapshot) {
  const { placement, utilization } = snapshot;
  setText(byId("placement-mode"), modeSentence(placement));
  say(byId("placement-plan"), planSentence(placement, utilization.at));
  say(byId("moves-none"), noMovesSentence(placement));
  moves.show(moveLines(placement));
  // Without a plan nobody has been left anywhere.
  const stayed = placement.placement === "off" ? [] : stayLines(placement);
  stays.show(stayed);
  byId("stays-title").hidden = stayed.length === 0;
  const asked = demandLines(placement);
  demand.show(asked);
  byId("demand-none").hidden = asked.length > 0;
  const scored = scoreLines(placement);
  score.show(scored);
  byId("score-none").hidden = scored.length > 0;
  const moved = historyLines(snapshot);
  history.show(moved);
  byId("history-none").hidden = moved.length > 0;
}
