import { make, setClass, setText } from "./dom.js";
import { shortened } from "./format.js";

/**
 * A table that is brought up to date in place: a line keeps its row as long as it is there, and a cell is touched only
 * if it says something else than before. Narrow windows show each row as a card, which takes the roles of rows and
 * cells away from them, so they are written down.
 */

/**
 * @template L
 * @typedef {object} Column
 * @property {string} label
 * @property {string} [hint]
 * @property {"number" | "wide" | "head"} [kind] `head` names the row
 * @property {string} [sortKey]
 * @property {(cell: HTMLElement) => (line: L) => void} fill makes the inside of a cell, and gives how to update it
 */

/**
 * @template L
 * @typedef {object} Row
 * @property {HTMLTableRowElement} element
 * @property {readonly ((line: L) => void)[]} updates
 */

/**
 * A cell of text, with a smaller line under it.
 * @template L
 * @param {(line: L) => string} textOf
 * @param {(line: L) => string} [noteOf]
 * @param {(line: L) => string} [toneOf] a class of the text
 * @returns {Column<L>["fill"]}
 */
export function text(textOf, noteOf, toneOf) {
  return (cell) => {
    const main = cell.appendChild(make("span", "text"));
    const note = noteOf === undefined ? null : cell.appendChild(make("span", "note"));
    return (line) => {
      setText(main, textOf(line));
      if (toneOf !== undefined) setClass(main, `text ${toneOf(line)}`);
      if (note !== null && noteOf !== undefined) setText(note, noteOf(line));
    };
  };
}

/**
 * A cell that opens more of the line over the page.
 * @template L
 * @param {(line: L) => string} idOf what it is
 * @param {(id: string) => void} open
 * @param {(line: L) => string} [nameOf] what stands there, with the id under it; without it the id alone
 * @returns {Column<L>["fill"]}
 */
export function opener(idOf, open, nameOf) {
  return (cell) => {
    const button = cell.appendChild(make("button", "link"));
    button.type = "button";
    button.setAttribute("aria-haspopup", "dialog");
    const note = nameOf === undefined ? null : cell.appendChild(make("span", "note"));
    let id = "";
    button.addEventListener("click", () => open(id));
    return (line) => {
      id = idOf(line);
      showName(button, nameOf === undefined ? id : nameOf(line));
      if (note !== null) setText(note, id);
    };
  };
}

/**
 * A name that is too long for its column keeps its row as low as the others; whoever points at it or hears it gets it all.
 * @param {HTMLElement} button
 * @param {string} name
 */
function showName(button, name) {
  const shown = shortened(name);
  const isWhole = shown === name;
  setText(button, shown);
  setClass(button, isWhole ? "link" : "link shortened");
  button.title = isWhole ? "" : name;
  button.ariaLabel = isWhole ? null : name;
}

/** @template L */
export class Table {
  #columns;
  #keyOf;
  #table;
  #body;
  /** @type {Map<string, Row<L>>} */
  #rows = new Map();
  /** @type {Map<string, HTMLElement>} */
  #heads = new Map();

  /**
   * @param {HTMLElement} table an empty one of the page
   * @param {readonly Column<L>[]} columns
   * @param {(line: L) => string} keyOf
   * @param {(sortKey: string) => void} [onSort]
   */
  constructor(table, columns, keyOf, onSort) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    this.#table = table;
    table.setAttribute("role", "table");
    const line = rowGroup(table, "thead").appendChild(rowOf());
    for (const column of columns) line.append(this.#headOf(column, onSort));
    this.#body = rowGroup(table, "tbody");
  }

  /** @param {readonly L[]} lines each with a key of its own */
  show(lines) {
    this.#table.hidden = lines.length === 0;
    const focused = document.activeElement;
    const kept = new Set(lines.map((line) => this.#keyOf(line)));
    for (const [key, { element }] of this.#rows) {
      if (kept.has(key)) continue;
      element.remove();
      this.#rows.delete(key);
    }
    /** @type {Element | null} */
    let next = this.#body.firstElementChild;
    for (const line of lines) {
      const row = this.#rowOf(this.#keyOf(line));
      for (const update of row.updates) update(line);
      if (row.element === next) next = next.nextElementSibling;
      else this.#body.insertBefore(row.element, next);
    }
    // A row that has moved has lost the focus on the way.
    if (
      focused instanceof HTMLElement &&
      focused !== document.activeElement &&
      this.#body.contains(focused)
    ) {
      focused.focus({ preventScroll: true });
    }
  }

  /**
   * @param {string} sortKey
   * @param {boolean} isDescending
   */
  markSorted(sortKey, isDescending) {
    for (const [key, head] of this.#heads) {
      if (key === sortKey) head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  /**
   * @param {Column<L>} column
   * @param {((sortKey: string) => void) | undefined} onSort
   */
  #headOf({ label, hint, kind, sortKey }, onSort) {
    const head = make("th", kind ?? "");
    head.scope = "col";
    head.setAttribute("role", "columnheader");
    if (hint !== undefined) head.title = hint;
    if (sortKey === undefined || onSort === undefined) {
      head.textContent = label;
      return head;
    }
    const button = head.appendChild(make("button", "sort", label));
    button.type = "button";
    button.addEventListener("click", () => onSort(sortKey));
    this.#heads.set(sortKey, head);
    return head;
  }

  /**
   * @param {string} key
   * @returns {Row<L>}
   */
  #rowOf(key) {
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    const element = rowOf();
    const updates = this.#columns.map(({ label, kind, fill }) => {
      const cell = make(kind === "head" ? "th" : "td", kind ?? "");
      if (kind === "head") cell.scope = "row";
      cell.setAttribute("role", kind === "head" ? "rowheader" : "cell");
      cell.dataset["label"] = label;
      element.append(cell);
      return fill(cell);
    });
    const row = { element, updates };
    this.#rows.set(key, row);
    return row;
  }
}

/**
 * @param {HTMLElement} table
 * @param {"thead" | "tbody"} tag
 */
function rowGroup(table, tag) {
  const group = table.appendChild(make(tag));
  group.setAttribute("role", "rowgroup");
  return group;
}

function rowOf() {
  const row = make("tr");
  row.setAttribute("role", "row");
  return row;
}
