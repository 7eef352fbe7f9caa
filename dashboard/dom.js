/**
 * The few things that the page does to its document. Ids, names and reasons come from machines and clients, so all of
 * them get there as text and never as markup; the page's policy of trusted types would refuse anything else.
 */

/**
 * @param {string} id of an element of the page
 * @returns {HTMLElement}
 */
export function byId(id) {
  return elementOf(HTMLElement, id);
}

/**
 * @template {HTMLElement} E
 * @param {new () => E} kind
 * @param {string} id
 * @returns {E}
 */
export function elementOf(kind, id) {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} with the id ${id}`);
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  if (text !== "") element.textContent = text;
  return element;
}

/**
 * Writes only what is new, so that a selection and the layout survive a refresh.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {HTMLElement} element
 * @param {string} className
 */
export function setClass(element, className) {
  if (element.className !== className) element.className = className;
}

/**
 * Shows a paragraph if it has something to say.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function say(element, text) {
  setText(element, text);
  element.hidden = text === "";
}

/**
 * What came of an action, where it was asked for.
 * @param {HTMLElement} element a live region
 * @param {string} text
 * @param {boolean} isProblem
 */
export function report(element, text, isProblem) {
  setText(element, text);
  setClass(element, isProblem ? "report problem" : "report");
}

/**
 * A control that has the focus leaves it to another one when it goes.
 * @param {HTMLElement} element
 * @param {boolean} isHidden
 * @param {HTMLElement} heir
 */
export function setHidden(element, isHidden, heir) {
  const hadFocus = isHidden && element === document.activeElement;
  element.hidden = isHidden;
  if (hadFocus) heir.focus();
}

/**
 * Marks what was typed wrong. The first of them gets the focus.
 * @template {string} Name
 * @param {Iterable<readonly [Name, HTMLInputElement | HTMLSelectElement]>} inputs
 * @param {(name: Name) => boolean} isWrong
 */
export function markWrong(inputs, isWrong) {
  /** @type {HTMLElement | null} */
  let first = null;
  for (const [name, input] of inputs) {
    input.setAttribute("aria-invalid", String(isWrong(name)));
    if (isWrong(name)) first ??= input;
  }
  first?.focus();
}
