/** @import { SettingName } from "./key-settings.js" */
/** @import { Settings } from "./keys.js" */
import { make } from "./dom.js";
import { LABELS, PRIORITIES, textOf } from "./key-settings.js";

/** The fields of a key's limits and priority, in the dialog that makes one and in the one that changes it. */

export class SettingFields {
  /** @type {ReadonlyMap<SettingName, HTMLInputElement | HTMLSelectElement>} */
  #controls;
  /** @type {readonly HTMLElement[]} */
  #lines;

  /**
   * @param {HTMLElement} place
   * @param {string} describedBy ids of what says more about them
   */
  constructor(place, describedBy) {
    const priority = make("select");
    for (const choice of PRIORITIES) priority.append(new Option(choice));
    /** @type {[SettingName, HTMLInputElement | HTMLSelectElement][]} */
    const controls = [
      ["requests_per_minute", limitInput()],
      ["tokens_per_minute", limitInput()],
      ["priority", priority],
    ];
    this.#controls = new Map(controls);
    this.#lines = [...this.#controls].map(([name, control]) => {
      control.setAttribute("aria-describedby", describedBy);
      const line = place.appendChild(make("label", "", LABELS[name]));
      line.append(control);
      return line;
    });
  }

  /** Those that can be marked as wrong. */
  get controls() {
    return this.#controls;
  }

  /** @param {Settings} settings */
  fill(settings) {
    for (const [name, control] of this.#controls) control.value = textOf(name, settings);
  }

  /** @param {boolean} isShown */
  show(isShown) {
    for (const line of this.#lines) line.hidden = !isShown;
  }

  /** @param {SettingName} name */
  typed(name) {
    return this.#controls.get(name)?.value ?? "";
  }
}

function limitInput() {
  const input = make("input", "figure");
  input.inputMode = "numeric";
  input.placeholder = "no limit";
  input.autocomplete = "off";
  input.spellcheck = false;
  return input;
}
