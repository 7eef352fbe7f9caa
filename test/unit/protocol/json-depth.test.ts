import { expect, it } from "vitest";

import { isTooDeep } from "../../../protocol/json-depth.ts";

const list = (levels: number): unknown => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`);
const object = (levels: number): unknown => JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`);

it("tells JSON of more than 256 levels, wherever they are, from JSON of as many", () => {
  for (const nested of [list, object]) {
    expect(isTooDeep(nested(256))).toBe(false);
    expect(isTooDeep(nested(257))).toBe(true);
    expect(isTooDeep({ one: 1, other: ["x", null, nested(254)] })).toBe(false);
    expect(isTooDeep({ one: 1, other: ["x", null, nested(255)] })).toBe(true);
    expect(isTooDeep(nested(100_000))).toBe(true);
  }
});

it("finds no depth in what is no list and no object", () => {
  for (const plain of ["[[[", 1, true, null, undefined]) expect(isTooDeep(plain)).toBe(false);
});
