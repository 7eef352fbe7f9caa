import { describe, expect, it } from "vitest";

import { changeCatalog, type CatalogChange } from "../../../core/catalog-change.ts";
import { EMPTY_CATALOG, parseCatalog, type Catalog, type CatalogEntry } from "../../../core/catalog.ts";
import { machineIdSchema, type MachineId } from "../../../protocol/ids.ts";

function catalogOf(...entries: readonly object[]): Catalog {
  const parsed = parseCatalog(
    entries.map((fields) => ({ context_length: 4096, size_gb: 1, min_ram_gb: 2, ...fields })),
  );
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.catalog;
}

function entry(id: string, fields: object = {}): CatalogEntry {
  const [made] = catalogOf({ id, ...fields }).entries;
  if (made === undefined) throw new Error("no entry");
  return made;
}

const KNOWN = catalogOf({ id: "a", aliases: ["x"] }, { id: "b" }, { id: "c" });
const machines = (...ids: string[]): MachineId[] => ids.map((id) => machineIdSchema.parse(id));

interface Circumstances {
  readonly isForced?: boolean;
  /** Machines by the model they are assigned to. */
  readonly assigned?: Readonly<Record<string, readonly MachineId[]>>;
  readonly of?: Catalog;
}

function change(
  asked: CatalogChange,
  { isForced = false, assigned = {}, of = KNOWN }: Circumstances = {},
): ReturnType<typeof changeCatalog> {
  return changeCatalog(of, asked, isForced, (model) => assigned[model] ?? []);
}

function idsAfter(asked: CatalogChange, options: Circumstances = {}): string[] {
  const changed = change(asked, options);
  if (!changed.ok) throw new Error(changed.error.message);
  return changed.catalog.entries.map(({ id }) => id);
}

describe("one model", () => {
  it("is put in at the end, or in the place of the one with its id", () => {
    expect(idsAfter({ kind: "put", entry: entry("d") })).toEqual(["a", "b", "c", "d"]);
    expect(change({ kind: "put", entry: entry("d") })).toMatchObject({ ok: true, isAddition: true });
    const replaced = change({ kind: "put", entry: entry("b", { size_gb: 9 }) });
    expect(replaced).toMatchObject({ ok: true, isAddition: false });
    expect(idsAfter({ kind: "put", entry: entry("b", { size_gb: 9 }) })).toEqual(["a", "b", "c"]);
    expect(replaced.ok && replaced.catalog.find("b")?.size_gb).toBe(9);
    expect(idsAfter({ kind: "put", entry: entry("d") }, { of: EMPTY_CATALOG })).toEqual(["d"]);
  });

  it("may keep its own aliases and give them up", () => {
    expect(change({ kind: "put", entry: entry("a", { aliases: ["x", "y"] }) }).ok).toBe(true);
    const without = change({ kind: "put", entry: entry("a") });
    expect(without.ok && without.catalog.find("x")).toBeUndefined();
  });

  it.each([
    ["an alias that is another's id", entry("d", { aliases: ["b"] }), "aliases"],
    ["an alias that is another's alias", entry("b", { aliases: ["x"] }), "aliases"],
    ["an alias that is the id of one behind it", entry("a", { aliases: ["c"] }), "aliases"],
    ["an id that is another's alias", entry("x"), "id"],
  ])("is refused with %s, by the field at fault", (_, made, param) => {
    expect(change({ kind: "put", entry: made })).toMatchObject({
      ok: false,
      error: { code: "invalid_request", param },
    });
  });

  it("is refused above the most that there may be", () => {
    const full = catalogOf(...Array.from({ length: 1000 }, (_, index) => ({ id: `m${index}` })));
    const changed = change({ kind: "put", entry: entry("one-more") }, { of: full });
    expect(changed).toMatchObject({ ok: false, error: { code: "invalid_request", param: "catalog" } });
  });

  it("is taken out with its aliases, also if it is the last one", () => {
    expect(idsAfter({ kind: "remove", id: "a" })).toEqual(["b", "c"]);
    expect(idsAfter({ kind: "remove", id: "a" }, { of: catalogOf({ id: "a" }) })).toEqual([]);
  });

  it("is not taken out by an alias or if it is not there", () => {
    expect(change({ kind: "remove", id: "x" })).toMatchObject({
      error: { code: "model_not_found", message: expect.stringContaining('alias of "a"') },
    });
    expect(change({ kind: "remove", id: "none" })).toMatchObject({ error: { code: "model_not_found" } });
  });
});

describe("a change that leaves something broken wants to be said twice:", () => {
  const assigned = { b: machines("mac-1", "mac-2", "mac-3", "mac-4") };

  it.each<[string, CatalogChange]>([
    ["a model is taken out that machines are assigned to", { kind: "remove", id: "b" }],
    ["a whole catalog lacks it", { kind: "replace", entries: [entry("a")] }],
    ["it is only an alias there", { kind: "replace", entries: [entry("a", { aliases: ["b"] })] }],
  ])("%s", (_, asked) => {
    const refused = change(asked, { assigned });
    expect(refused).toMatchObject({ ok: false, error: { code: "force_required" } });
    const message = refused.ok ? "" : refused.error.message;
    expect(message).toContain("mac-1, mac-2, mac-3 and 1 more");
    expect(message).toContain("?force=true");
    const forced = change(asked, { assigned, isForced: true });
    expect(forced).toMatchObject({ ok: true, gone: expect.arrayContaining(["b"]) });
  });

  it("a whole catalog is empty, unless there is nothing to lose", () => {
    const asked = { kind: "replace", entries: [] } as const;
    expect(change(asked)).toMatchObject({ ok: false, error: { code: "force_required" } });
    expect(idsAfter(asked, { isForced: true })).toEqual([]);
    expect(idsAfter(asked, { of: EMPTY_CATALOG })).toEqual([]);
  });

  it("and nothing else does", () => {
    expect(idsAfter({ kind: "remove", id: "c" }, { assigned })).toEqual(["a", "b"]);
    expect(change({ kind: "put", entry: entry("b", { size_gb: 9 }) }, { assigned }).ok).toBe(true);
    expect(idsAfter({ kind: "replace", entries: [entry("b")] }, { assigned })).toEqual(["b"]);
  });
});
