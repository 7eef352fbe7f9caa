/** @import { Order } from "./lists.js" */
/** @import { Column } from "./table.js" */
import { byId, elementOf, setText } from "./dom.js";
import { orderOf, orderText, paged } from "./lists.js";
import { keep, kept } from "./tab-memory.js";
import { Table } from "./table.js";

/**
 * A table that can be sorted, and shows one screenful of rows at a time, so that a thousand are no slower than fifty.
 * Its buttons are in the page: those that turn pages, and the choice of a column for windows too narrow for heads.
 */

const PER_PAGE = 50;

/**
 * @template L
 * @template {string} K
 * @typedef {object} Listing
 * @property {readonly (Column<L> & { sortKey?: K })[]} columns
 * @property {(lines: readonly L[]) => readonly L[]} filtered
 * @property {(lines: readonly L[], order: Order<K>) => readonly L[]} sorted
 * @property {Order<K>} order as long as nobody has chosen one
 * @property {readonly K[]} largestFirst columns of which one wants to see the largest first
 */

/**
 * @template {{ readonly id: string }} L
 * @template {string} K
 */
export class PagedTable {
  #name;
  #listing;
  #order;
  /** @type {readonly L[]} */
  #all = [];
  #page = 0;
  #table;
  #sort;
  #previous;
  #next;
  #range;
  #none;

  /**
   * @param {string} name with which the ids of its elements begin
   * @param {Listing<L, K>} listing
   */
  constructor(name, listing) {
    const { columns, order } = listing;
    this.#name = name;
    this.#listing = listing;
    const keys = columns.flatMap(({ sortKey }) => sortKey ?? []);
    this.#order = orderOf(kept(`${name}-order`), keys, order);
    this.#table = new Table(
      byId(`${name}-table`),
      columns,
      ({ id }) => id,
      (key) => this.#sortBy(key, true),
    );
    this.#sort = elementOf(HTMLSelectElement, `${name}-sort`);
    this.#previous = elementOf(HTMLButtonElement, `${name}-previous`);
    this.#next = elementOf(HTMLButtonElement, `${name}-next`);
    this.#range = byId(`${name}-range`);
    this.#none = byId(`${name}-none`);
    for (const { sortKey, label } of columns) {
      if (sortKey !== undefined) this.#sort.append(new Option(label, sortKey));
    }
    this.#sort.value = this.#order.key;
    this.#sort.addEventListener("input", () => this.#sortBy(this.#sort.value, false));
    this.#previous.addEventListener("click", () => this.#turnTo(this.#page - 1));
    this.#next.addEventListener("click", () => this.#turnTo(this.#page + 1));
  }

  /** @param {readonly L[]} lines all that there are */
  show(lines) {
    this.#all = lines;
    this.#render();
  }

  /** To be called when the filter has become another one. */
  filterAnew() {
    this.#turnTo(0);
  }

  /** @param {number} wanted */
  #turnTo(wanted) {
    this.#page = wanted;
    this.#render();
  }

  /**
   * @param {string} wanted
   * @param {boolean} isTurned whether the same column again turns the order round
   */
  #sortBy(wanted, isTurned) {
    const key = this.#listing.columns.find(({ sortKey }) => sortKey === wanted)?.sortKey;
    if (key === undefined) return;
    const isAgain = isTurned && this.#order.key === key;
    const isDescending = isAgain ? !this.#order.isDescending : this.#listing.largestFirst.includes(key);
    this.#order = { key, isDescending };
    keep(`${this.#name}-order`, orderText(this.#order));
    this.#sort.value = key;
    this.#turnTo(0);
  }

  #render() {
    const { filtered, sorted } = this.#listing;
    const lines = sorted(filtered(this.#all), this.#order);
    const shown = paged(lines, this.#page, PER_PAGE);
    this.#page = shown.page;
    this.#table.show(shown.lines);
    this.#table.markSorted(this.#order.key, this.#order.isDescending);
    setText(this.#range, shown.range);
    this.#previous.disabled = shown.page === 0;
    this.#next.disabled = shown.isLast;
    this.#none.hidden = lines.length > 0 || this.#all.length === 0;
  }
}
