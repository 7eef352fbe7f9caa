import { describe, expect, it } from "vitest";

import { hasWords, orderOf, orderText, paged } from "../../../dashboard/lists.js";
import { demandLines } from "../../../dashboard/placement.js";
import { poolLines } from "../../../dashboard/pools.js";
import { demandFields } from "../../../dashboard/what-if.js";
import { aPlanned, aPool, aSnapshot } from "./snapshot-scene.ts";

/** What the lists of the page have in common. */

it("has models in the same order wherever they stand, whatever the order in which they are read", () => {
  const models = ["model-10", "Other", "model-9"];
  const snapshot = aSnapshot({
    fleet: { pools: models.map((model_id) => aPool({ model_id })) },
    placement: { models: models.toReversed().map((model_id) => aPlanned({ model_id })) },
  });
  for (const lines of [demandLines(snapshot.placement), demandFields(snapshot)]) {
    expect(lines.map(({ model }) => model)).toEqual(["model-9", "model-10", "Other"]);
  }
  expect(poolLines(snapshot).map(({ id }) => id)).toEqual(["model-9", "model-10", "Other"]);
});

describe("words", () => {
  it("must all be there, in any case and order", () => {
    expect(hasWords("studio-1 apple m3", "")).toBe(true);
    expect(hasWords("studio-1 apple m3", "  M3  studio ")).toBe(true);
    expect(hasWords("studio-1 apple m3", "m3 mini")).toBe(false);
  });
});

describe("an order that was kept", () => {
  const otherwise = { key: "id", isDescending: false } as const;
  const of = (text: string | null) => orderOf(text, ["id", "memory"], otherwise);

  it("is the one that was chosen", () => {
    for (const key of ["id", "memory"] as const) {
      for (const isDescending of [false, true]) {
        expect(of(orderText({ key, isDescending }))).toEqual({ key, isDescending });
      }
    }
  });

  it.each([null, "", "-", "-chip", "memory"])("is the first one if it was none: %s", (text) => {
    expect(of(text)).toEqual(otherwise);
  });
});

describe("a page", () => {
  const lines = Array.from({ length: 120 }, (_, n) => n);

  it("holds so many lines, and says which", () => {
    expect(paged(lines, 0, 50)).toMatchObject({ page: 0, isLast: false, range: "1 to 50 of 120" });
    const last = paged(lines, 2, 50);
    expect(last).toMatchObject({ page: 2, isLast: true, range: "101 to 120 of 120" });
    expect(last.lines).toEqual(lines.slice(100));
  });

  it("becomes the last one if it has vanished", () => {
    expect(paged(lines.slice(0, 60), 2, 50)).toMatchObject({ page: 1, isLast: true });
    expect(paged([], 2, 50)).toMatchObject({ page: 0, isLast: true, range: "0", lines: [] });
  });
});
