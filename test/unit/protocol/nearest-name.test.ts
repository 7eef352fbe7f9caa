import { expect, it } from "vitest";

import { nearestName } from "../../../protocol/nearest-name.ts";

const FIELDS = ["id", "context_length", "size_gb", "min_ram_gb", "floor", "cap"];

it.each([
  ["contxt_length", "context_length"],
  ["contextLength", "context_length"],
  ["Context-Length", "context_length"],
  ["context", null],
  ["size", null],
  ["size_GB", "size_gb"],
  ["sizegb", "size_gb"],
  ["min_ram", "min_ram_gb"],
  ["flor", "floor"],
  ["caps", "cap"],
  ["ca", null],
  ["di", null],
  ["colour", null],
  ["", null],
])("%j was meant to be %j", (written, meant) => {
  expect(nearestName(written, FIELDS)).toBe(meant);
});

it("finds none among none, and the first of two that are as near", () => {
  expect(nearestName("floor", [])).toBeNull();
  expect(nearestName("floor", ["floors", "flooor"])).toBe("floors");
});
