import { describe, expect, it } from "vitest";

import { refusedLines } from "../../../dashboard/refused-dials.js";
import { NOW } from "./snapshot-scene.ts";

const dial = (machine_id: string, model_id: string, secondsAgo: number) => ({
  machine_id,
  owner: "acme",
  model_id,
  at: NOW - secondsAgo * 1000,
});

describe("machines that were turned away", () => {
  it("are listed by the model that they offer, with their owners and the last time", () => {
    const refused_dials = [dial("mac-b", "x10", 20), dial("mac-a", "x9", 40), dial("mac-a", "x10", 300)];
    expect(refusedLines({ refused_dials }, NOW)).toEqual([
      { model: "x9", machines: "mac-a of acme", asked: "40 s ago" },
      { model: "x10", machines: "mac-b of acme, mac-a of acme", asked: "20 s ago" },
    ]);
  });

  it("are counted where there are many", () => {
    const refused_dials = Array.from({ length: 9 }, (_, index) => dial(`mac-${index}`, "x", 1));
    expect(refusedLines({ refused_dials }, NOW)).toMatchObject([
      { machines: "mac-0 of acme, mac-1 of acme, mac-2 of acme and 6 more" },
    ]);
  });

  it("are none in the answer of an earlier version", () => {
    expect(refusedLines({}, NOW)).toEqual([]);
  });
});
