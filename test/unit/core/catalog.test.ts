import { describe, expect, it } from "vitest";

import { parseCatalog, parseKeptCatalog, poolsFor, type Catalog } from "../../../core/catalog.ts";
import { readOwnCatalog } from "../../../core/own-catalog.ts";
import { modelIdSchema } from "../../../protocol/ids.ts";

function entry(id: unknown, fields: object = {}): object {
  return { id, context_length: 4096, size_gb: 1.5, min_ram_gb: 2, ...fields };
}

function catalogOf(...entries: object[]): Catalog {
  const parsed = parseCatalog(entries);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.catalog;
}

const ids = (...names: string[]) => names.map((name) => modelIdSchema.parse(name));

describe("a catalog", () => {
  it("fills in what an entry leaves out", () => {
    expect(catalogOf(entry("org/model-1")).entries).toEqual([
      {
        id: "org/model-1",
        aliases: [],
        context_length: 4096,
        size_gb: 1.5,
        min_ram_gb: 2,
        floor: 0,
        cap: null,
        priority: 1,
        decode_floor_tps: null,
        max_concurrency: 4,
      },
    ]);
  });

  it("finds an entry by its id and by each alias", () => {
    const catalog = catalogOf(entry("a", { aliases: ["x", "y"] }), entry("b"));
    expect(["a", "x", "y", "b", "z"].map((name) => catalog.find(name)?.id)).toEqual([
      "a",
      "a",
      "a",
      "b",
      undefined,
    ]);
  });

  it.each(["constructor", "toString", "hasOwnProperty"])(
    "has no model by the name %s, which objects have",
    (id) => {
      expect(parseCatalog([entry("a"), entry(id)])).toMatchObject({ ok: false, param: "[1].id" });
    },
  );

  it("may be empty", () => {
    expect(catalogOf().entries).toEqual([]);
    expect(catalogOf().find("constructor")).toBeUndefined();
  });
});

describe("a mistake in a catalog names entry and field:", () => {
  it.each([
    ["no list", {}, "catalog", "the catalog"],
    ["no list but text, as after a slip in the editor", "[{", "catalog", "the catalog"],
    ["no entry", [7], "[0]", '"#0"'],
    ["an id with a blank", [entry("a b")], "[0].id", '"a b"'],
    ["an id with the shard separator", [entry("a#1")], "[0].id", '"a#1"'],
    [
      "a missing field",
      [entry("a"), { ...entry("b"), size_gb: undefined }],
      "[1].size_gb",
      '"b": size_gb: is required',
    ],
    ["a size of nothing", [entry("a", { size_gb: 0 })], "[0].size_gb", '"a"'],
    ["a context that is no whole number", [entry("a", { context_length: 1.5 })], "[0].context_length", '"a"'],
    ["no slots", [entry("a", { max_concurrency: 0 })], "[0].max_concurrency", '"a"'],
    [
      "a floor above the cap",
      [entry("a", { floor: 3, cap: 2 })],
      "[0].floor",
      '"a": floor: must be at most the cap, which is 2',
    ],
    ["a floor where there is no room at all", [entry("a", { floor: 1, cap: 0 })], "[0].floor", '"a"'],
    ["a negative cap", [entry("a", { cap: -1 })], "[0].cap", '"a"'],
    ["a wrong alias", [entry("a", { aliases: ["ok", ""] })], "[0].aliases[1]", '"a"'],
    ["an unknown field", [entry("a", { colour: "red" })], "[0].colour", "there is no such field"],
    ["an id given twice", [entry("a"), entry("a")], "[1].id", '"a"'],
    ["an alias that is another's id", [entry("a"), entry("b", { aliases: ["a"] })], "[1].aliases", '"b"'],
    [
      "an alias that is another's alias",
      [entry("a", { aliases: ["x"] }), entry("b", { aliases: ["x"] })],
      "[1].aliases",
      '"b"',
    ],
    ["an alias that is its own id", [entry("a", { aliases: ["a"] })], "[0].aliases", '"a"'],
    [
      "too many entries",
      Array.from({ length: 1001 }, (_, index) => entry(`m${index}`)),
      "catalog",
      "the catalog",
    ],
  ])("%s", (_, json, param, named) => {
    const parsed = parseCatalog(json);
    expect(parsed).toMatchObject({ ok: false, param });
    expect(parsed.ok ? "" : parsed.message).toContain(named);
  });
});

it("bears a floor above the cap where an earlier version has taken it, and nothing worse", () => {
  const kept = parseKeptCatalog([entry("a", { floor: 3, cap: 2 })]);
  expect(kept).toMatchObject({ ok: true, catalog: { entries: [{ floor: 3, cap: 2 }] } });
  expect(parseKeptCatalog([entry("a", { floor: -1 })])).toMatchObject({ ok: false });
});

describe("a catalog of a later version", () => {
  const later = entry("a", { colour: "red", floor: 2 });

  it("loses what this one does not know, and nothing else", () => {
    const listing = { name: "A", pricing: { prompt: "0", completion: "0", picture: "0" }, stars: 5 };
    expect(readOwnCatalog([later, entry("b", { listing })])).toMatchObject({
      parsed: {
        ok: true,
        catalog: {
          entries: [
            { id: "a", floor: 2 },
            { id: "b", listing: { name: "A" } },
          ],
        },
      },
      leftOut: ["[0].colour", "[1].listing.pricing.picture", "[1].listing.stars"],
    });
    expect(parseKeptCatalog([later])).toMatchObject({ ok: false });
  });

  it("loses a model of which it says what this one cannot read, and no other", () => {
    expect(readOwnCatalog([entry("a", { size_gb: "small", colour: "red" }), entry("b")])).toMatchObject({
      parsed: { ok: true, catalog: { entries: [{ id: "b" }] } },
      leftOut: ["[0]: size_gb"],
    });
  });

  it.each([
    ["no list", {}],
    ["a list of nothing that could be read", [7, { id: "a" }]],
    ["a name given twice", [later, later]],
  ])("is none if it is %s", (_, json) => {
    expect(readOwnCatalog(json).parsed.ok).toBe(false);
  });
});

describe("the pools of a machine", () => {
  it("are the catalog models it offers, in its order, each once", () => {
    const catalog = catalogOf(entry("a", { aliases: ["alias"] }), entry("b"), entry("c"));
    expect(poolsFor(catalog, ids("c", "unknown", "a", "c", "alias"))).toEqual(["c", "a"]);
    expect(poolsFor(catalogOf(), ids("a"))).toEqual([]);
  });
});
