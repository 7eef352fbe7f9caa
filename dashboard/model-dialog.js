/** @import { Api, Tag } from "./api.js" */
/** @import { Entry, Field, FieldName } from "./model-entry.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { act } from "./action.js";
import { ApiError, sentenceOf } from "./api-error.js";
import { confirmed } from "./confirm.js";
import { DayChart } from "./day-chart.js";
import { hoursOf } from "./day-use.js";
import { closeBeside } from "./dialogs.js";
import { byId, elementOf, make, markWrong, report, setText } from "./dom.js";
import { entryAt } from "./listing-entry.js";
import { fillListing, listingControls, typedListing } from "./listing-fields.js";
import {
  entryOf,
  FIELDS,
  floorNote,
  isAbout,
  obstacleTo,
  refusalOf,
  removal,
  textOf,
} from "./model-entry.js";
import { mayChange } from "./rights.js";

/**
 * A model of the catalog over the page: to be added, changed or taken out. Its entry is read when it is opened, and not
 * again, since somebody types in it.
 */

const dialog = elementOf(HTMLDialogElement, "model");
const form = elementOf(HTMLFormElement, "model-form");
const controls = elementOf(HTMLFieldSetElement, "model-controls");
const idInput = elementOf(HTMLInputElement, "model-id");
const told = byId("model-report");
const toldAfter = byId("pools-report");

const day = new DayChart(byId("model-day"));

/** @type {Api | null} */
let api = null;
/** @type {Snapshot | null} */
let known = null;
/** The model that is shown; null for one that is to be added. @type {string | null} */
let shown = null;
/** @type {Entry} */
let before = {};
/** @type {Tag} */
let tag = null;
/** Counts how often it was opened: what comes of one time is no word about the next. */
let opening = 0;

const inputs = new Map(FIELDS.map((field) => [field.name, inputFor(field)]));

closeBeside(dialog);
byId("model-close").addEventListener("click", () => dialog.close());
byId("models-add").addEventListener("click", () => addModel(""));
byId("model-remove").addEventListener("click", () => void remove());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void save();
});

/** @param {Api} granted with whose token models are read */
export function readModelsWith(granted) {
  api = granted;
}

/** @param {Snapshot} snapshot by which names are checked and warnings told */
export function knowModels(snapshot) {
  known = snapshot;
  if (dialog.open) showDay();
}

/** What was asked of it: somebody who sets a floor or a price wants to see it. */
function showDay() {
  const usage = known?.usage ?? null;
  const at = known?.utilization.at ?? 0;
  day.show(shown === null || usage === null ? null : hoursOf(usage, shown, at));
}

/** @param {string} id */
export function openModel(id) {
  open(id);
  void read(id);
}

/** @param {string} id of a new model, as far as it is known */
export function addModel(id) {
  open(null);
  idInput.value = id;
  if (id !== "") inputs.get("context_length")?.focus();
}

/** @param {string | null} id null to add one */
function open(id) {
  shown = id;
  opening += 1;
  const isNew = id === null;
  setText(byId("model-title"), id ?? "Add a model");
  setText(byId("model-save"), isNew ? "Add" : "Save");
  byId("model-id-label").hidden = !isNew;
  byId("model-remove").hidden = isNew;
  idInput.value = "";
  fill({}, null);
  controls.disabled = !isNew;
  report(told, "", false);
  report(toldAfter, "", false);
  showDay();
  dialog.showModal();
  if (isNew) idInput.focus();
}

/** @param {string} id */
async function read(id) {
  if (api === null) return;
  const asked = opening;
  try {
    const found = await api.model(id);
    if (asked !== opening) return;
    fill(found.entry, found.tag);
    controls.disabled = !mayChange();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (asked === opening) report(told, sentenceOf(error), true);
  }
}

/**
 * @param {Entry} entry
 * @param {Tag} tagRead
 */
function fill(entry, tagRead) {
  before = entry;
  tag = tagRead;
  for (const [name, input] of inputs) input.value = textOf(name, entry);
  fillListing(entry["listing"] === undefined ? null : entryAt(entry, "listing"));
  mark(() => false);
}

async function save() {
  const id = shown ?? idInput.value.trim();
  const obstacle = shown === null && known !== null ? obstacleTo(id, known) : "";
  const { entry, wrong } = typedEntry();
  mark((name) => (name === "id" ? obstacle !== "" : wrong.includes(name)));
  const [first] = wrong;
  const problem = obstacle !== "" || first === undefined ? obstacle : mistakeIn(first);
  if (problem !== "") {
    report(told, problem, true);
    return;
  }
  const note = known === null ? "" : floorNote(entry, known);
  await send(
    (granted) => granted.putModel(id, entry, tag),
    `${id} is ${shown === null ? "in the catalog" : "changed"}.${note}`,
  );
}

async function remove() {
  const id = shown;
  if (id === null || known === null) return;
  const { warning, isForced } = removal(id, known);
  if (!(await confirmed(warning))) return;
  await send((granted) => granted.removeModel(id, isForced, tag), `${id} is removed.`);
}

/**
 * @param {(granted: Api) => Promise<unknown>} call
 * @param {string} done
 */
async function send(call, done) {
  const asked = opening;
  const outcome = await act({ controls, report: told }, call, { done: () => done, failed: refusalOf });
  const isShown = asked === opening && dialog.open;
  if (asked !== opening) report(told, "", false);
  if (outcome.ok) {
    report(toldAfter, done, false);
    if (isShown) leave();
  } else if (isShown) mark((name) => isAbout(name, outcome.error));
}

function leave() {
  dialog.close();
  // What has opened the dialog may go with the model's row.
  byId("pools-title").focus();
}

/** @returns {{ entry: Entry, wrong: readonly string[] }} `wrong` are the names of controls */
function typedEntry() {
  const { entry, wrong } = entryOf(before, typed);
  const { listing: _, ...rest } = entry;
  const sold = typedListing(entryAt(before, "listing"));
  return sold === null
    ? { entry: rest, wrong }
    : { entry: { ...rest, listing: sold.listing }, wrong: [...wrong, ...sold.wrong] };
}

/** @param {FieldName} name */
const typed = (name) => inputs.get(name)?.value ?? "";

/** @param {string} name of a control */
function mistakeIn(name) {
  const text = `"${new Map(controlled()).get(name)?.value ?? ""}"`;
  return name === "listing.created" ? `${text} is no day such as 2026-10-31.` : `${text} is no number.`;
}

/** @returns {(readonly [string, HTMLInputElement | HTMLSelectElement])[]} all that can be marked as wrong */
const controlled = () => [["id", idInput], ...inputs, ...listingControls];

/** @param {(name: string) => boolean} isWrong */
function mark(isWrong) {
  markWrong(controlled(), isWrong);
}

/** @param {Field} field */
function inputFor({ label, isText, isNeeded, whenEmpty = "" }) {
  const line = byId("model-fields").appendChild(make("label", isText === true ? "long" : "", label));
  const input = line.appendChild(make("input", isText === true ? "" : "figure"));
  if (isText !== true) input.inputMode = "decimal";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.required = isNeeded === true;
  input.placeholder = whenEmpty;
  input.setAttribute("aria-describedby", "model-hint model-report");
  return input;
}
