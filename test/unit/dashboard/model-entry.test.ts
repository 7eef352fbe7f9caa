import { describe, expect, it } from "vitest";

import { catalogEntrySchema } from "../../../core/catalog.ts";
import { ApiError } from "../../../dashboard/api-error.js";
import {
  entryOf,
  FIELDS,
  floorNote,
  isAbout,
  obstacleTo,
  refusalOf,
  removal,
  textOf,
  type Entry,
  type FieldName,
} from "../../../dashboard/model-entry.js";
import { aMachine, aPool, aSnapshot } from "./snapshot-scene.ts";

/** The form of a catalog's entry. The coordinator decides what is a good one. */

const NEEDED = { context_length: 1024, size_gb: 12.1, min_ram_gb: 24 };
const FULL = catalogEntrySchema.parse({ id: "a", ...NEEDED, aliases: ["b", "org/c"], cap: 3, floor: 1 });

const typedFor =
  (entry: Entry, typed: Partial<Record<FieldName, string>> = {}) =>
  (name: FieldName): string =>
    typed[name] ?? textOf(name, entry);

describe("what is typed", () => {
  it("becomes an entry of which the coordinator fills in what was left empty", () => {
    const { entry, wrong } = entryOf(
      {},
      typedFor({}, { context_length: " 1024 ", size_gb: "12.1", min_ram_gb: "24" }),
    );
    expect(wrong).toEqual([]);
    expect(entry).toEqual(NEEDED);
    expect(catalogEntrySchema.parse({ ...entry, id: "a" })).toMatchObject({ priority: 1, cap: null });
  });

  it("is the entry as it was if nothing is changed, with every field of it", () => {
    const { entry } = entryOf(FULL, typedFor(FULL));
    expect(catalogEntrySchema.parse(entry)).toEqual(FULL);
    const fields: string[] = FIELDS.map(({ name }) => name);
    expect(["id", ...fields].toSorted()).toEqual(Object.keys(FULL).toSorted());
  });

  it("says of each number that may be left out what it is then", () => {
    const filled = catalogEntrySchema.parse({ id: "a", ...NEEDED });
    const numbers = FIELDS.filter(({ name }) => typeof filled[name] === "number" && !(name in NEEDED));
    expect(numbers.length).toBeGreaterThan(2);
    for (const { name, whenEmpty } of numbers) expect(Number(whenEmpty)).toBe(filled[name]);
  });

  it("changes what it says and leaves the rest, also what the page does not know", () => {
    const before = { ...FULL, brand_new: true };
    const { entry } = entryOf(before, typedFor(before, { cap: "", floor: "2", aliases: " x ,, y" }));
    expect(entry).toMatchObject({ floor: 2, aliases: ["x", "y"], brand_new: true, size_gb: 12.1 });
    expect(entry).not.toHaveProperty("cap");
  });

  it("leaves what an aggregator is told of the model, which is in no field", () => {
    const pricing = { prompt: "0.0000002", completion: "0.0000008" };
    const before = catalogEntrySchema.parse({ ...FULL, listing: { name: "A", pricing } });
    const { entry } = entryOf(before, typedFor(before, { priority: "2" }));
    expect(catalogEntrySchema.parse(entry)).toEqual({ ...before, priority: 2 });
  });

  it.each(["many", "1,5", "1e999", "NaN"])("is not sent if it is no number: %s", (text) => {
    expect(entryOf(FULL, typedFor(FULL, { cap: text })).wrong).toEqual(["cap"]);
  });

  it("is told of a floor that the machines cannot reach, be they too few or away", () => {
    const machines = [aMachine(), aMachine({ machine_id: "mac-2", state: "offline" })];
    const noteOf = (entry: Entry) => floorNote(entry, aSnapshot({ fleet: { machines } }));
    expect(noteOf({ ...FULL, floor: 2 })).toBe(" It wants at least 2 machines, and 1 is connected.");
    expect(noteOf({ ...FULL, floor: 1 })).toBe("");
    expect(noteOf(NEEDED)).toBe("");
  });

  it("adds no model under an id that is there, whose entry it would replace", () => {
    const snapshot = aSnapshot({ fleet: { pools: [aPool()] } });
    expect(obstacleTo("a", snapshot)).toContain("already");
    expect(obstacleTo("", snapshot)).toContain("needs an id");
    expect(obstacleTo("b", snapshot)).toBe("");
  });
});

describe("a refusal", () => {
  it("belongs to its field, also to one of several names", () => {
    const about = (param: string | null) => new ApiError("no", { param });
    expect(isAbout("size_gb", about("size_gb"))).toBe(true);
    expect(isAbout("aliases", about("aliases[1]"))).toBe(true);
    expect(isAbout("floor", about("decode_floor_tps"))).toBe(false);
    expect(isAbout("floor", about(null))).toBe(false);
  });

  it("calls the field as the form does", () => {
    expect(refusalOf(new ApiError("size_gb: is required", { param: "size_gb" }))).toBe(
      "Size of the weights, GB: is required.",
    );
    expect(refusalOf(new ApiError("it is an alias", { param: "id" }))).toBe("It is an alias.");
    expect(refusalOf(new ApiError("add ?force=true", { code: "force_required" }))).toContain(
      "was not removed",
    );
    const outdated = new ApiError("the model has changed", { code: "precondition_failed" });
    expect(refusalOf(outdated)).toContain("open it again");
  });
});

describe("the question before a model is removed", () => {
  const machines = ["mac-1", "mac-2", "mac-3", "mac-4", "mac-5"].map((machine_id) =>
    aMachine({ machine_id }),
  );
  const asked = (count: number) => removal("a", aSnapshot({ fleet: { machines: machines.slice(0, count) } }));

  it("says which machines are released, and only then lets them be", () => {
    expect(asked(1).warning.text).toContain("1 machine assigned to it will be released: mac-1.");
    expect(asked(5).warning.text).toContain("5 machines assigned");
    expect(asked(5).warning.text).toContain("mac-1, mac-2, mac-3 and 2 more.");
    expect(asked(5).isForced).toBe(true);
  });

  it("releases none that serves it without an order, or another model", () => {
    const others = [aMachine({ assigned_model: null }), aMachine({ assigned_model: "b" })];
    const { warning, isForced } = removal("a", aSnapshot({ fleet: { machines: others } }));
    expect(isForced).toBe(false);
    expect(warning.text).not.toContain("released");
  });
});
