import { expect, it } from "vitest";

import {
  clock,
  count,
  decimal,
  duration,
  many,
  moment,
  percent,
  sentence,
  shortened,
  signed,
  someOf,
} from "../../../dashboard/format.js";

it("numbers have the digits that matter", () => {
  expect([0, 0.314, 4.16, 57.4].map(decimal)).toEqual(["0.00", "0.31", "4.2", "57"]);
  expect([0.26, -0.1, 0.001, -0.001].map(signed)).toEqual(["+0.26", "−0.10", "0", "0"]);
  expect(count(12_345)).toBe("12,345");
  expect([many(1, "pool"), many(0, "pool")]).toEqual(["1 pool", "0 pools"]);
});

it("a share that is small is not none", () => {
  expect([percent(0, 5), percent(1, 100_000), percent(1, 30), percent(5, 5)]).toEqual([
    "0 %",
    "< 0.1 %",
    "3.3 %",
    "100 %",
  ]);
});

it("times are in the unit that fits", () => {
  const times = [0, 40, 500, 12_400, 120_000, 7_200_000, 400_000_000, -5];
  expect(times.map(duration)).toEqual(["0 s", "0.1 s", "0.5 s", "12 s", "2 min", "2 h", "5 days", "0 s"]);
  const at = Date.UTC(2026, 0, 5, 8, 5, 9);
  expect([clock(at, "UTC"), clock(at, "UTC", "short")]).toEqual(["08:05:09", "08:05"]);
  expect(moment(at, at + 3_600_000, "UTC")).toBe("08:05:09");
  expect(moment(at, at + 86_400_000, "UTC")).toBe("5 Jan, 08:05:09");
});

it("a sentence begins with a capital", () => {
  expect([sentence("it is too hot"), sentence("")]).toEqual(["It is too hot", ""]);
});

it("a long name keeps its beginning and its end", () => {
  expect(shortened("mac-studio-7f3a")).toBe("mac-studio-7f3a");
  expect(shortened("n".repeat(37))).toBe("n".repeat(37));
  const long = "build-farm-rack-12-mac-studio-m3-ultra-unit-0042-7f3ac2d1";
  expect(shortened(long)).toBe("build-farm-rack-12-mac-s…042-7f3ac2d1");
});

it("of many names a sentence says some", () => {
  expect(someOf(["a"])).toBe("a");
  expect(someOf(["a", "b", "c"])).toBe("a, b, c");
  expect(someOf(["a", "b", "c", "d", "e"])).toBe("a, b, c and 2 more");
});
