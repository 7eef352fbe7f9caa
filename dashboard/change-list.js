/** @import { ChangePage, ChangeRow } from "./changes.js" */

/** The changes that were read: the newest, and as many before them as somebody wanted to see. */
export class ChangeList {
  /** The newest first. @type {readonly ChangeRow[]} */
  rows = [];
  /** Of the next page; null if there is none. @type {string | null} */
  next = null;

  /**
   * The first page, read anew. Older ones that follow on it stay.
   * @param {ChangePage} page
   */
  take({ changes, next_cursor }) {
    const oldest = changes.at(-1)?.id ?? Infinity;
    const older = this.rows.filter(({ id }) => id < oldest);
    const follows = this.rows.some(({ id }) => id >= oldest) && older.length > 0;
    this.rows = follows ? [...changes, ...older] : changes;
    if (!follows) this.next = next_cursor;
  }

  /**
   * The page that comes after what is known.
   * @param {ChangePage} page
   */
  add({ changes, next_cursor }) {
    const known = new Set(this.rows.map(({ id }) => id));
    this.rows = [...this.rows, ...changes.filter(({ id }) => !known.has(id))];
    this.next = next_cursor;
  }

  /** Other changes are looked for from now on. */
  clear() {
    this.rows = [];
    this.next = null;
  }
}
