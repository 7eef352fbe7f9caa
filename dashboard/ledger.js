/**
 * Rows as they were last read, with what this page has done to them since. The coordinator keeps keys where a change
 * is seen a minute later from elsewhere, so a list read right after one may still be the old one.
 */

/** For how long the page's own changes count for more than what is read: the lag, with room. */
const LAG_MS = 120_000;

/** @template {{ readonly id: string }} R */
export class Ledger {
  /** @type {readonly R[]} */
  #read = [];
  /** A row as it was made or changed here, null for one that is gone. @type {Map<string, { row: R | null, at: number }>} */
  #own = new Map();

  /**
   * @param {readonly R[]} rows
   * @param {number} since when the reading began
   */
  take(rows, since) {
    this.#read = rows;
    for (const [id, { at }] of this.#own) if (at + LAG_MS < since) this.#own.delete(id);
  }

  /**
   * @param {R} row that was made or changed
   * @param {number} now
   */
  put(row, now) {
    this.#own.set(row.id, { row, at: now });
  }

  /**
   * @param {string} id of a row that is gone
   * @param {number} now
   */
  remove(id, now) {
    this.#own.set(id, { row: null, at: now });
  }

  /** @returns {R[]} */
  rows() {
    const rows = new Map(this.#read.map((row) => [row.id, row]));
    for (const [id, { row }] of this.#own) {
      if (row === null) rows.delete(id);
      else rows.set(id, row);
    }
    return [...rows.values()];
  }
}
