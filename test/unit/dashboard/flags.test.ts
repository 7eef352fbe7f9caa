import { describe, expect, it } from "vitest";

import { FLAG_NAMES, takenBy } from "../../../core/flags.ts";
import { ApiError } from "../../../dashboard/api-error.js";
import { flagWarning } from "../../../dashboard/flag-warnings.js";
import { wordsOf, hintOf } from "../../../dashboard/flag-words.js";
import { draftOf, flagLines, outcomeOf, problemOf } from "../../../dashboard/flags.js";
import { aMachine, aMove, aPool, aSnapshot, type Changes } from "./snapshot-scene.ts";

/** How the page offers and explains the flags. The coordinator decides what a flag may be. */

const flag = (fields: object = {}) =>
  ({
    name: "queue_max",
    value: "32",
    initial: "32",
    takes: { min: 0, max: 9 },
    source: "default",
    valid: true,
    ...fields,
  }) as const;

describe("what the page says of a flag's values", () => {
  it("has words for every flag of the coordinator", () => {
    for (const name of FLAG_NAMES) expect([name, wordsOf(name).about]).not.toEqual([name, ""]);
  });

  it("is the range of a number with its unit, or the form of a text", () => {
    expect(hintOf("tick_seconds", { min: 5, max: 3600 })).toBe("5 to 3,600 seconds");
    expect(hintOf("shed_models", { text: "ids of models" })).toBe("ids of models");
    expect(hintOf("placement", { choices: ["off", "shadow"] })).toBe("");
  });

  it("leaves none of the coordinator's numbers without a unit", () => {
    const hints = FLAG_NAMES.map((name) => ({ name, takes: takenBy(name) }))
      .filter(({ takes }) => "min" in takes)
      .map(({ name, takes }) => hintOf(name, takes));
    expect(hints.length).toBeGreaterThan(5);
    for (const hint of hints) expect(hint).toMatch(/ to [\d,]+ \S+$/);
  });

  it("does without words for a flag that is newer than the page", () => {
    expect(wordsOf("constructor").about).toBe("");
    expect(hintOf("brand_new", { min: 1, max: 2000 })).toBe("1 to 2,000");
  });
});

describe("a flag's line", () => {
  it("marks what is not as at first, and what KV holds in vain", () => {
    const flags = [
      flag(),
      flag({ name: "shed_models", value: "a", initial: "" }),
      flag({ value: "40", valid: false, invalid: "many", problem: "queue_max must be a number" }),
    ];
    const [same, changed, invalid] = flagLines(aSnapshot({ flags }));
    expect(same).toMatchObject({ isChanged: false, problem: "", takes: { min: 0, max: 9 } });
    expect(changed).toMatchObject({ isChanged: true, initial: "(empty)", initialValue: "" });
    expect(invalid?.problem).toBe('KV holds "many", which is not in force: queue_max must be a number');
  });

  it("keeps what somebody types through a refresh, and follows the value in force otherwise", () => {
    expect(draftOf("32", "32", "64")).toBe("64");
    expect(draftOf("48", "32", "64")).toBe("48");
    expect(draftOf("", "", "on")).toBe("on");
  });

  it("says what is wrong without the name that stands beside it", () => {
    expect(problemOf("queue_max", new ApiError("queue_max must be a whole number from 0 to 9"))).toBe(
      "Must be a whole number from 0 to 9.",
    );
    expect(problemOf("queue_max", new ApiError("no answer"))).toBe("No answer.");
  });

  it("says what came of it, and which machines did not follow", () => {
    expect(outcomeOf(flag({ value: "off" }), [])).toBe("Set to off.");
    expect(outcomeOf(flag({ value: "" }), [])).toBe("Set to empty.");
    expect(outcomeOf(flag({ value: "off", not_released: ["mac-1", "mac-2"] }), [])).toContain(
      "used up: mac-1, mac-2.",
    );
  });

  it("names what was switched off and is no model", () => {
    const shed = (value: string) => outcomeOf(flag({ name: "shed_models", value }), ["a", "b"]);
    expect(shed("a, b")).toBe("Set to a, b.");
    expect(shed("")).toBe("Set to empty.");
    expect(shed("a, bb")).toBe("Set to a, bb. Not the id of a model in the catalog: bb.");
  });
});

describe("the warning before a flag moves machines", () => {
  const textOf = (name: string, value: string, changes: Changes = {}) =>
    flagWarning(name, value, aSnapshot(changes))?.text ?? null;
  const budget = [flag({ name: "max_loads_per_tick", value: "4" })] as never;

  it.each([
    ["queue_max", "64"],
    ["placement", "off"],
    ["placement", "shadow"],
    ["min_provider_version", "none"],
    ["min_provider_version", "newest"],
    ["assign_min_provider_version", "newest"],
    ["min_trust_level", "none"],
    ["shed_models", "a"],
  ])("is none for what moves nothing: %s to %s", (name, value) => {
    expect(textOf(name, value)).toBeNull();
  });

  it("of the gate going on says whether placement will move machines by itself", () => {
    const on = (placement: "off" | "enforce") =>
      textOf("assignment_gate", "on", { fleet: { placement }, flags: budget });
    expect(on("off")).toContain("nothing moves while placement is off");
    expect(on("enforce")).toContain("moves machines by itself, at most 4 moves a tick");
  });

  it("of the gate going off counts the machines that it releases", () => {
    const machines = [aMachine(), aMachine({ machine_id: "mac-2", managed: false })];
    expect(textOf("assignment_gate", "off", { fleet: { machines } })).toContain(
      "1 assigned machine of 2 will be released",
    );
    expect(textOf("assignment_gate", "off")).toContain("none is released");
  });

  it("of enforce says what the last plan would do, and that it waits for the gate", () => {
    const enforce = (assignment_gate: "on" | "off", ...moves: ReturnType<typeof aMove>[]) =>
      textOf("placement", "enforce", { fleet: { assignment_gate }, placement: { moves }, flags: budget });
    const kept = aMove({ from: "a", to: "a", reason: "adopted" });
    expect(enforce("on", aMove())).toContain(
      "plans are carried out, at most 4 moves a tick. The last plan moves 1 machine.",
    );
    expect(enforce("on", kept)).toContain("The last plan assigns 1 machine what it holds.");
    expect(enforce("on", aMove(), kept, kept)).toContain(
      "The last plan moves 1 machine and assigns 2 machines what they hold.",
    );
    expect(enforce("on")).not.toContain("The last plan");
    expect(enforce("off", aMove())).toContain("only shown for now");
  });

  it("of a trust level counts the machines that have proven it, and names the pools that lose their last one", () => {
    const machines = [
      aMachine({ trust_level: "hardware" }),
      aMachine({ machine_id: "mac-2", trust_level: "self_signed", pools: ["b"] }),
      aMachine({ machine_id: "mac-3", pools: ["b"] }),
      aMachine({ machine_id: "mac-4", pools: [], state: "offline" }),
    ];
    const pools = [aPool(), aPool({ model_id: "b" }), aPool({ model_id: "empty before" })];
    const text = (value: string) => textOf("min_trust_level", value, { fleet: { machines, pools } });
    expect(text("self_signed")).toContain("2 connected machines of 3 have proven it");
    expect(text("self_signed")).not.toContain("No machine is left");
    expect(text("hardware")).toContain("1 connected machine of 3 has proven it");
    expect(text("hardware")).toContain("No machine is left to serve b.");
  });

  it.each(["min_provider_version", "assign_min_provider_version"])("names the version of %s", (name) => {
    expect(flagWarning(name, "0.9.0", aSnapshot())?.title).toContain("0.9.0");
  });
});
