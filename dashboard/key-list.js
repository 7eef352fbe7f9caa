/** @import { AdminTokenRow } from "./admin-tokens.js" */
/** @import { KeyRow, TokenRow } from "./keys.js" */
import { Ledger } from "./ledger.js";

/**
 * The API keys and provider tokens that the page knows of, and when to read them again. Each row of the list costs the
 * coordinator a reading of its storage, so they are read more seldom than the fleet, and not all at once if there are
 * thousands.
 */

/** How old the list may become before it is read again, while somebody looks at it. */
const TTL_MS = 300_000;

/** Pages that are read of each kind, until more are asked for: 100 rows each. */
const PAGES = 20;

/**
 * @typedef {object} Source
 * @property {(cursor: string | null) => Promise<{ keys: readonly KeyRow[], next_cursor: string | null }>} keys
 * @property {(cursor: string | null) => Promise<{ provider_tokens: readonly TokenRow[], next_cursor: string | null }>} providerTokens
 * @property {(cursor: string | null) => Promise<{ admin_tokens: readonly AdminTokenRow[], next_cursor: string | null }>} adminTokens
 */

export class KeyList {
  /** @type {Ledger<KeyRow>} */
  keys = new Ledger();
  /** @type {Ledger<TokenRow>} */
  tokens = new Ledger();
  /** @type {Ledger<AdminTokenRow>} */
  admins = new Ledger();
  /** Null before the first time. @type {number | null} */
  readAt = null;
  /** Whether no row is left to be read. */
  isWhole = true;
  #pages = PAGES;
  #isOutdated = false;
  #isReading = false;

  /** @param {number} now */
  isDue(now) {
    if (this.#isReading) return false;
    return this.readAt === null || this.#isOutdated || now - this.readAt >= TTL_MS;
  }

  /** The list is to be read the next time that somebody looks. */
  expire() {
    this.#isOutdated = true;
  }

  /** As many rows again as the last time. */
  wantMore() {
    this.#pages += PAGES;
    this.expire();
  }

  /**
   * Reads all lists; if that fails, they stay as they were.
   * @param {Source} source
   * @param {number} now
   * @throws {ApiError}
   */
  async read(source, now) {
    this.#isReading = true;
    this.#isOutdated = false;
    try {
      const [keys, tokens, admins] = await Promise.all([
        this.#pagesOf(async (cursor) => {
          const { keys: rows, next_cursor: next } = await source.keys(cursor);
          return { rows, next };
        }),
        this.#pagesOf(async (cursor) => {
          const { provider_tokens: rows, next_cursor: next } = await source.providerTokens(cursor);
          return { rows, next };
        }),
        this.#pagesOf(async (cursor) => {
          const { admin_tokens: rows, next_cursor: next } = await source.adminTokens(cursor);
          return { rows, next };
        }),
      ]);
      this.keys.take(keys.rows, now);
      this.tokens.take(tokens.rows, now);
      this.admins.take(admins.rows, now);
      this.isWhole = keys.isWhole && tokens.isWhole && admins.isWhole;
      this.readAt = now;
    } catch (error) {
      this.#isOutdated = true;
      throw error;
    } finally {
      this.#isReading = false;
    }
  }

  /**
   * @template R
   * @param {(cursor: string | null) => Promise<{ rows: readonly R[], next: string | null }>} readPage
   */
  async #pagesOf(readPage) {
    /** @type {R[]} */
    const all = [];
    /** @type {string | null} */
    let cursor = null;
    for (let page = 0; page < this.#pages; page += 1) {
      /** @type {{ rows: readonly R[], next: string | null }} */
      const { rows, next } = await readPage(cursor);
      all.push(...rows);
      if (next === null) return { rows: all, isWhole: true };
      cursor = next;
    }
    return { rows: all, isWhole: false };
  }
}
