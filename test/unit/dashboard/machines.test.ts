import { describe, expect, it } from "vitest";

import { filtered, machineLines, machinesSummary, SHOWN, sorted } from "../../../dashboard/machines.js";
import { aMachine, aSnapshot } from "./snapshot-scene.ts";

const linesOf = (...machines: Parameters<typeof aMachine>[0][]) =>
  machineLines(aSnapshot({ fleet: { machines: machines.map(aMachine) } }));

const blocked = (gate: string, fix: string | null) => ({
  explanation: { gate, why: `it is ${gate}`, fix, unmanaged_because: null },
});

describe("a machine's line", () => {
  it.each([
    ["good if requests may come", {}, "good"],
    ["busy while it serves", { in_flight: 2 }, "busy"],
    ["waiting if nothing need be done", { state: "loading", ...blocked("loading", null) }, "waiting"],
    [
      "waiting if it is private: that is its owner's will",
      { state: "unmanaged", ...blocked("owner_private", "start it without --private") },
      "waiting",
    ],
    ["bad if somebody has to do something", blocked("too_hot", "let it cool down"), "bad"],
    [
      "bad if somebody has to do something although requests come",
      { explanation: { gate: null, why: "two programs run", fix: "stop one", unmanaged_because: null } },
      "bad",
    ],
    ["off without a connection", { state: "offline", ...blocked("offline", "start it") }, "off"],
  ] as const)("is %s", (_, machine, tone) => {
    expect(linesOf(machine)).toMatchObject([{ tone }]);
  });

  it("says why it is idle and what would help, as the API does", () => {
    expect(linesOf(blocked("too_hot", "let it cool down"))).toMatchObject([
      { why: "It is too_hot", fix: "Let it cool down" },
    ]);
    expect(linesOf({})).toMatchObject([{ fix: "" }]);
  });

  it("advises the operator, whom the API tells its owner to ask", () => {
    expect(linesOf(blocked("cordoned", "ask the operator to uncordon it"))).toMatchObject([
      { fix: "Uncordon it" },
    ]);
  });

  it("names the pool that it is assigned to, else those in which it waits and what it holds", () => {
    expect(linesOf({})).toMatchObject([{ model: "a", holding: "" }]);
    const free = { assigned_model: null, state: "unmanaged" } as const;
    expect(linesOf({ ...free, pools: ["a", "b"] })).toMatchObject([{ model: "a, b", holding: "holds a" }]);
    expect(linesOf({ ...free, loaded_models: [] })).toMatchObject([
      { model: "a", holding: "holds none yet" },
    ]);
    expect(linesOf({ ...free, pools: ["a"] })).toMatchObject([{ model: "a", holding: "" }]);
    expect(linesOf({ ...free, pools: [] })).toMatchObject([{ model: "–" }]);
  });
});

describe("the filter", () => {
  const lines = linesOf(
    { machine_id: "studio-1", hardware: "Apple M3 Ultra" },
    { machine_id: "mini-2", hardware: "Apple M4 Pro", ...blocked("too_hot", "let it cool down") },
    { machine_id: "mini-3", state: "failed", ...blocked("failed", null) },
    { machine_id: "mini-4", state: "offline", ...blocked("offline", "start it") },
  );
  const found = (words: string, shown = "all") => filtered(lines, words, shown).map(({ id }) => id);

  it("wants every word somewhere in the line, in any case", () => {
    expect(found("")).toHaveLength(4);
    expect(found("MINI pro")).toEqual(["mini-2"]);
    expect(found("too_hot")).toEqual(["mini-2"]);
    expect(found("mini ultra hot")).toEqual([]);
  });

  it("finds machines by the token that they came with", () => {
    const some = linesOf({ machine_id: "a", token_id: "9f2c" }, { machine_id: "b", token_id: null });
    expect(filtered(some, "9F2C", "all").map(({ id }) => id)).toEqual(["a"]);
  });

  it("shows those that need something, those that can serve, or those in a state", () => {
    expect(found("", "attention")).toEqual(["mini-2", "mini-3", "mini-4"]);
    expect(found("", "serving")).toEqual(["studio-1"]);
    expect(found("", "failed")).toEqual(["mini-3"]);
    for (const { value } of SHOWN) expect(() => found("", value)).not.toThrow();
  });

  it("leaves the summary alone, which is of all", () => {
    expect(machinesSummary(lines)).toBe("4 machines · 1 can serve · 3 need something · 1 offline");
    expect(machinesSummary(filtered(lines, "", "failed"))).toBe(
      "1 machine · 0 can serve · 1 needs something · 0 offline",
    );
  });
});

describe("the order", () => {
  const lines = linesOf(
    { machine_id: "mac-10", memory_gb: 32, in_flight: 1, decode_tps: null },
    { machine_id: "mac-9", memory_gb: 96, in_flight: 1, decode_tps: 20 },
    { machine_id: "mac-1", memory_gb: 32, in_flight: 3, decode_tps: 60 },
  );
  const by = (key: Parameters<typeof sorted>[1]["key"], isDescending: boolean) =>
    sorted(lines, { key, isDescending }).map(({ id }) => id);

  it("takes numbers in names for numbers", () => {
    expect(by("id", false)).toEqual(["mac-1", "mac-9", "mac-10"]);
    expect(by("id", true)).toEqual(["mac-10", "mac-9", "mac-1"]);
  });

  it("goes by ids among equals, whichever way the column goes", () => {
    expect(by("memory", false)).toEqual(["mac-1", "mac-10", "mac-9"]);
    expect(by("memory", true)).toEqual(["mac-9", "mac-1", "mac-10"]);
    expect(by("inFlight", true)).toEqual(["mac-1", "mac-9", "mac-10"]);
  });

  it("puts a speed that is not known below all others", () => {
    expect(by("speed", true)).toEqual(["mac-1", "mac-9", "mac-10"]);
  });
});
