import { make, setText } from "./dom.js";

/** @typedef {{ name: string, value: string }} DetailLine */

/**
 * Brings a list of names and values up to date in place.
 * @param {HTMLElement} list
 * @param {readonly DetailLine[]} lines
 */
export function showDetails(list, lines) {
  const names = [...list.querySelectorAll("dt")].map(({ textContent }) => textContent);
  if (names.join("\n") !== lines.map(({ name }) => name).join("\n")) {
    list.replaceChildren(...lines.flatMap(({ name }) => [make("dt", "", name), make("dd")]));
  }
  const values = list.querySelectorAll("dd");
  for (const [index, { value }] of lines.entries()) {
    const element = values[index];
    if (element !== undefined) setText(element, value);
  }
}
