import { byId, elementOf, setText } from "./dom.js";

/** A question before machines are moved. The focus begins on the way out, and Escape is one too. */

/**
 * @typedef {object} Warning
 * @property {string} title a question
 * @property {string} text what will happen
 * @property {string} verb of the button that says yes
 */

const dialog = elementOf(HTMLDialogElement, "confirm");

let isConfirmed = false;
/** @type {(isConfirmed: boolean) => void} */
let answer = () => {};

byId("confirm-no").addEventListener("click", () => dialog.close());
byId("confirm-yes").addEventListener("click", () => {
  isConfirmed = true;
  dialog.close();
});
dialog.addEventListener("close", () => answer(isConfirmed));

/**
 * @param {Warning | null} warning null if there is nothing to ask
 * @returns {Promise<boolean>}
 */
export function confirmed(warning) {
  if (warning === null) return Promise.resolve(true);
  setText(byId("confirm-title"), warning.title);
  setText(byId("confirm-text"), warning.text);
  setText(byId("confirm-yes"), warning.verb);
  isConfirmed = false;
  const { promise, resolve } = Promise.withResolvers();
  answer = resolve;
  dialog.showModal();
  return promise;
}

export function closeQuestion() {
  dialog.close();
}
