/** @import { Preview } from "./api.js" */
/** @import { DemandLine } from "./placement.js" */
/** @import { Snapshot } from "./snapshot.js" */
/** @import { Column } from "./table.js" */
/** @import { DemandField, Field } from "./what-if.js" */
import { act } from "./action.js";
import { byId, elementOf, make, markWrong, report } from "./dom.js";
import { MOVES, STAYS } from "./placement-columns.js";
import { demandLines, moveLines, stayLines } from "./placement.js";
import { Table, text } from "./table.js";
import { answerSentence, demandFields, isAbout, KNOBS, questionOf, refusalOf } from "./what-if.js";

/** The form that asks the planner what it would do, and its answer, which stays until the next one. */

const form = elementOf(HTMLFormElement, "what-if-form");
const controls = elementOf(HTMLFieldSetElement, "what-if-controls");
const told = byId("what-if-report");

/** @type {Map<string, HTMLInputElement>} */
const demandInputs = new Map();

const knobInputs = new Map(
  KNOBS.map(({ name, label }) => {
    const field = byId("what-if-knobs").appendChild(make("label", "", label));
    return [name, field.appendChild(numberInput())];
  }),
);

/** @type {readonly Column<DemandField>[]} */
const FIELDS = [
  { label: "Model", kind: "head", fill: text(({ model }) => model) },
  { label: "Requests/s now", kind: "number", fill: text(({ now }) => now) },
  { label: "Requests/s instead", fill: demandInput },
];

/** @type {readonly Column<DemandLine>[]} */
const NEEDS = [
  { label: "Model", kind: "head", fill: text(({ model }) => model) },
  { label: "Demand, /s", kind: "number", fill: text(({ demand }) => demand) },
  { label: "Capacity then, /s", kind: "number", fill: text(({ capacity }) => capacity) },
  { label: "Machines needed", kind: "number", fill: text(({ needed }) => needed) },
  { label: "Machines desired", kind: "number", fill: text(({ desired }) => desired) },
];

const fields = new Table(byId("what-if-demand"), FIELDS, ({ model }) => model);
const moves = new Table(byId("what-if-moves"), MOVES, ({ key }) => key);
const stays = new Table(byId("what-if-stays"), STAYS, ({ reason }) => reason);
const needs = new Table(byId("what-if-needs"), NEEDS, ({ model }) => model);

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void ask();
});
// The answer is one to what was in the form.
form.addEventListener("reset", () => {
  report(told, "", false);
  mark(() => false);
  showAnswer(null);
});

/** @param {Snapshot} snapshot */
export function showWhatIf(snapshot) {
  for (const [name, input] of knobInputs) {
    input.placeholder = snapshot.flags.find((flag) => flag.name === name)?.value ?? "";
  }
  const lines = demandFields(snapshot);
  fields.show(lines);
  for (const model of demandInputs.keys()) {
    if (!lines.some((line) => line.model === model)) demandInputs.delete(model);
  }
}

async function ask() {
  const { asked, wrong } = questionOf(typedIn(knobInputs), typedIn(demandInputs));
  mark((name) => wrong.some((field) => field.name === name));
  const [first] = wrong;
  if (first !== undefined) {
    report(told, `"${first.text}" is no number.`, true);
    return;
  }
  const outcome = await act({ controls, report: told }, (api) => api.simulate(asked), {
    done: answerSentence,
    failed: refusalOf,
  });
  if (outcome.ok) showAnswer(outcome.answer);
  else mark((name) => isAbout(name, outcome.error));
}

/**
 * @param {ReadonlyMap<string, HTMLInputElement>} inputs
 * @returns {Field[]}
 */
function typedIn(inputs) {
  return [...inputs].map(([name, { value }]) => ({ name, text: value }));
}

/** @param {(name: string) => boolean} isWrong */
function mark(isWrong) {
  markWrong([...knobInputs, ...demandInputs], isWrong);
}

/** @param {Preview | null} preview null for no answer */
function showAnswer(preview) {
  byId("what-if-answer").hidden = preview === null;
  if (preview === null) return;
  moves.show(moveLines(preview));
  stays.show(stayLines(preview));
  needs.show(demandLines({ ...preview, placement: "shadow" }));
  byId("what-if-moves-title").hidden = preview.moves.length === 0;
  byId("what-if-stays-title").hidden = preview.machines.length === 0;
}

/** @type {Column<DemandField>["fill"]} */
function demandInput(cell) {
  const input = cell.appendChild(numberInput());
  return ({ model }) => {
    demandInputs.set(model, input);
    input.setAttribute("aria-label", `Requests/s of ${model} instead`);
  };
}

function numberInput() {
  const input = make("input", "figure");
  input.inputMode = "decimal";
  input.autocomplete = "off";
  input.setAttribute("aria-describedby", "what-if-report");
  return input;
}
