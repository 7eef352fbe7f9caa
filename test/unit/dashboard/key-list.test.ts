import { describe, expect, it } from "vitest";

import { ApiError } from "../../../dashboard/api-error.js";
import { KeyList, type Source } from "../../../dashboard/key-list.js";
import type { KeyRow } from "../../../dashboard/keys.js";
import { Ledger } from "../../../dashboard/ledger.js";

/** When keys are read, how many, and what counts while the coordinator's list lags behind. */

const MINUTE_MS = 60_000;
const AGE_MS = 5 * MINUTE_MS;

const aRow = (id: string, name = "web"): KeyRow => ({
  id,
  owner: "acme",
  name,
  created_at: 1,
  requests_per_minute: null,
  tokens_per_minute: null,
  priority: "normal",
});

/** Keys by the page, no provider tokens, and one admin token. */
class Shelf implements Source {
  readonly asked: (string | null)[] = [];
  readonly #pages: readonly (readonly KeyRow[])[];
  isBroken = false;

  constructor(...pages: readonly (readonly KeyRow[])[]) {
    this.#pages = pages;
  }

  keys(cursor: string | null) {
    this.asked.push(cursor);
    if (this.isBroken) return Promise.reject(new ApiError("broken"));
    const page = Number(cursor ?? "0");
    const next = page + 1 < this.#pages.length ? String(page + 1) : null;
    return Promise.resolve({ keys: this.#pages[page] ?? [], next_cursor: next });
  }

  providerTokens() {
    return Promise.resolve({ provider_tokens: [], next_cursor: null });
  }

  adminTokens() {
    const token = { id: "t", name: "anna", scope: "read", created_at: 1 } as const;
    return Promise.resolve({ admin_tokens: [token], next_cursor: null });
  }
}

const idsOf = (ledger: Ledger<KeyRow>) => ledger.rows().map(({ id }) => id);

describe("the list", () => {
  it("is read page by page", async () => {
    const list = new KeyList();
    const shelf = new Shelf([aRow("a")], [], [aRow("b"), aRow("c")]);
    await list.read(shelf, 0);
    expect(shelf.asked).toEqual([null, "1", "2"]);
    expect(idsOf(list.keys)).toEqual(["a", "b", "c"]);
    expect(list.admins.rows()).toMatchObject([{ id: "t", scope: "read" }]);
    expect(list.isWhole).toBe(true);
  });

  it("is not read beyond twenty pages until somebody wants more", async () => {
    const list = new KeyList();
    const shelf = new Shelf(...Array.from({ length: 35 }, (_, page) => [aRow(`k${page}`)]));
    await list.read(shelf, 0);
    expect([list.keys.rows().length, list.isWhole]).toEqual([20, false]);
    expect(list.isDue(1)).toBe(false);
    list.wantMore();
    expect(list.isDue(1)).toBe(true);
    await list.read(shelf, 1);
    expect([list.keys.rows().length, list.isWhole]).toEqual([35, true]);
  });

  it("is due at first, after five minutes, and when it may be old, but never twice at once", async () => {
    const list = new KeyList();
    const shelf = new Shelf([aRow("a")]);
    expect(list.isDue(0)).toBe(true);
    const reading = list.read(shelf, 0);
    expect(list.isDue(0)).toBe(false);
    list.expire();
    expect(list.isDue(0)).toBe(false);
    await reading;
    // What made it old came while it was read, and may not be in it.
    expect(list.isDue(0)).toBe(true);
    await list.read(shelf, 0);
    expect([list.isDue(AGE_MS - 1), list.isDue(AGE_MS)]).toEqual([false, true]);
  });

  it("stays as it was if it cannot be read, and is due again", async () => {
    const list = new KeyList();
    const shelf = new Shelf([aRow("a")], [aRow("b")]);
    await list.read(shelf, 0);
    shelf.isBroken = true;
    await expect(list.read(shelf, MINUTE_MS)).rejects.toThrow("broken");
    expect([idsOf(list.keys), list.readAt, list.isDue(MINUTE_MS)]).toEqual([["a", "b"], 0, true]);
  });
});

describe("what was done here", () => {
  const read = [aRow("a"), aRow("b")];

  it("counts for more than a list that does not have it yet", () => {
    const ledger = new Ledger<KeyRow>();
    ledger.take(read, 0);
    ledger.put(aRow("new"), 0);
    ledger.put(aRow("a", "renamed"), 0);
    ledger.remove("b", 0);
    ledger.take(read, MINUTE_MS);
    expect(ledger.rows().map(({ id, name }) => `${id} ${name}`)).toEqual(["a renamed", "new web"]);
  });

  it("no longer counts once the list must have it", () => {
    const ledger = new Ledger<KeyRow>();
    ledger.put(aRow("new"), 0);
    ledger.remove("b", 0);
    ledger.take(read, 3 * MINUTE_MS);
    expect(idsOf(ledger)).toEqual(["a", "b"]);
  });
});
