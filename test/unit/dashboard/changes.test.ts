import { describe, expect, it } from "vitest";

import { ChangeList } from "../../../dashboard/change-list.js";
import { changeLines, differenceText, type ChangeRow } from "../../../dashboard/changes.js";

const AT = Date.UTC(2026, 10, 24, 9, 30);

const row = (fields: Partial<ChangeRow> = {}): ChangeRow => ({
  id: 7,
  at: AT,
  request_id: "req_1",
  token_id: null,
  token_name: "ADMIN_TOKEN",
  address: "203.0.113.7",
  method: "PUT",
  path: "/v1/admin/flags/queue_max",
  what: "set the flag queue_max",
  outcome: "done",
  status: 200,
  code: null,
  before: { value: "32" },
  after: { value: "64" },
  ...fields,
});

describe("a line of the changes", () => {
  it("says when, who, what, and what came of it", () => {
    expect(changeLines([row()], AT, "UTC")).toEqual([
      {
        id: "7",
        at: "09:30:00",
        requestId: "req_1",
        who: "ADMIN_TOKEN",
        from: "203.0.113.7",
        what: "Set the flag queue_max",
        differs: "value 32 → 64",
        outcome: "done",
        tone: "good",
        reason: "",
      },
    ]);
  });

  it.each<[Partial<ChangeRow>, object]>([
    [
      { outcome: "refused", status: 400, code: "gate_off" },
      { outcome: "refused", tone: "bad", reason: "gate_off" },
    ],
    [
      { outcome: "refused", status: 405, code: null },
      { outcome: "refused", tone: "bad", reason: "405" },
    ],
    [
      { outcome: "unknown", status: null },
      { outcome: "not known", tone: "unknown", reason: "" },
    ],
    [
      { request_id: null, token_name: null, address: null, method: "KV" },
      { who: "not known", from: "", requestId: "" },
    ],
  ])("tells apart what was done, refused, or is not known: %o", (fields, line) => {
    expect(changeLines([row(fields)], AT)).toMatchObject([line]);
  });
});

describe("what is other than before", () => {
  it.each<[ChangeRow["before"], ChangeRow["after"], string]>([
    [null, null, ""],
    [null, { owner: "acme", limit: null }, "owner acme; limit none"],
    [{ owner: "acme" }, null, "was: owner acme"],
    [{ pinned: false, model: null }, { pinned: true, model: "a" }, "pinned no → yes; model none → a"],
    [{ aliases: [] }, { aliases: ["a", "b"], floor: 0 }, "aliases none → a, b; floor none → 0"],
    [{ text: "" }, { text: { a: 1 } }, 'text empty → {"a":1}'],
    [null, { text: "x".repeat(300) }, `text ${"x".repeat(200)}…`],
  ])("%o, %o", (before, after, text) => {
    expect(differenceText(before, after)).toBe(text);
  });
});

describe("the changes that were read", () => {
  const page = (ids: readonly number[], next_cursor: string | null) => ({
    changes: ids.map((id) => row({ id })),
    next_cursor,
  });
  const idsOf = (list: ChangeList) => list.rows.map(({ id }) => id);

  it("keep the older pages when the newest one is read anew", () => {
    const list = new ChangeList();
    list.take(page([5, 4], "4"));
    list.add(page([3, 2], "2"));
    list.take(page([6, 5], "5"));
    expect(idsOf(list)).toEqual([6, 5, 4, 3, 2]);
    expect(list.next).toBe("2");
  });

  it("begin anew if so much came that there may be a gap", () => {
    const list = new ChangeList();
    list.take(page([5, 4], "4"));
    list.add(page([3, 2], null));
    list.take(page([9, 8], "8"));
    expect(idsOf(list)).toEqual([9, 8]);
    expect(list.next).toBe("8");
    list.add(page([8, 7], "7"));
    expect(idsOf(list)).toEqual([9, 8, 7]);
  });

  it("are none of another question", () => {
    const list = new ChangeList();
    list.take(page([5, 4], "4"));
    list.clear();
    expect(list).toMatchObject({ rows: [], next: null });
    list.take(page([], null));
    expect(idsOf(list)).toEqual([]);
  });
});
