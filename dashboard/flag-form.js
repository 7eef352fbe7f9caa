/** @import { FlagTakes } from "../core/flags.ts" */
/** @import { FlagLine } from "./flags.js" */
/** @import { Column } from "./table.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { act } from "./action.js";
import { confirmed } from "./confirm.js";
import { make, report, setHidden } from "./dom.js";
import { flagWarning } from "./flag-warnings.js";
import { hintOf } from "./flag-words.js";
import { draftOf, outcomeOf, problemOf } from "./flags.js";
import { mayChange } from "./rights.js";

/** A flag's control: what it may be set to, the way back to the initial value, and what came of it. */

/** @type {Snapshot | null} */
let known = null;

/** @param {Snapshot} snapshot by which warnings are told */
export function warnBy(snapshot) {
  known = snapshot;
}

/** @type {Column<FlagLine>["fill"]} */
export function fillFlagForm(cell) {
  /** @type {((line: FlagLine) => void) | null} */
  let update = null;
  return (line) => {
    update ??= formOf(cell, line);
    update(line);
  };
}

/**
 * A row belongs to one flag for ever, whose name, initial value and choices stay.
 * @param {HTMLElement} cell
 * @param {FlagLine} first
 * @returns {(line: FlagLine) => void}
 */
function formOf(cell, { name, initialValue, takes }) {
  const form = cell.appendChild(make("form", "action"));
  form.noValidate = true;
  const controls = form.appendChild(make("fieldset"));
  controls.dataset["changes"] = "";
  controls.disabled = !mayChange();
  const control = controlOf(name, takes);
  const reset = make("button", "", `Reset to ${initialValue === "" ? "empty" : initialValue}`);
  reset.type = "button";
  const range = make("span", "note", hintOf(name, takes));
  range.id = `flag-${name}-hint`;
  controls.append(control, make("button", "", "Set"), reset, range);
  const told = form.appendChild(make("p", "report"));
  told.setAttribute("role", "status");
  told.id = `flag-${name}-report`;
  control.setAttribute("aria-describedby", `${range.id} ${told.id}`);

  // A list of choices begins with its first one, which nobody has chosen.
  let inForce = control.value;
  const change = async (/** @type {string} */ value) => {
    if (value === inForce) {
      report(told, "This is the value in force.", false);
      return;
    }
    if (known !== null && !(await confirmed(flagWarning(name, value, known)))) return;
    const outcome = await act({ controls, report: told }, (api) => api.setFlag(name, value), {
      done: (flag) => outcomeOf(flag, modelsOf(known)),
      failed: (error) => problemOf(name, error),
    });
    control.setAttribute("aria-invalid", String(!outcome.ok && outcome.error.param === "value"));
    if (outcome.ok) inForce = control.value = outcome.answer.value;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void change(control.value.trim());
  });
  reset.addEventListener("click", () => void change(initialValue));
  return (line) => {
    const draft = draftOf(control.value, inForce, line.inForce);
    inForce = line.inForce;
    if (control.value !== draft) control.value = draft;
    setHidden(reset, !line.isChanged, control);
  };
}

/** @param {Snapshot | null} snapshot */
function modelsOf(snapshot) {
  return snapshot?.utilization.model_pools.pools.map(({ model_id }) => model_id) ?? [];
}

/**
 * @param {string} name
 * @param {FlagTakes} takes
 */
function controlOf(name, takes) {
  const control = "choices" in takes ? make("select") : make("input");
  control.setAttribute("aria-label", `New value of ${name}`);
  if ("choices" in takes) for (const choice of takes.choices) control.append(new Option(choice));
  else if (control instanceof HTMLInputElement) {
    control.autocomplete = "off";
    control.spellcheck = false;
    // Not of the type number: it hides from the page what is no number, and a turn of the wheel changes it.
    if ("min" in takes) {
      control.inputMode = "numeric";
      control.classList.add("figure");
    }
  }
  return control;
}
