import { describe, expect, it } from "vitest";

import { FLAG_NAMES, flagProblem, INITIAL_TEXTS } from "../../../core/flags.ts";
import { ApiError } from "../../../dashboard/api-error.js";
import { FLAG_WORDS, flagWords, hintOf, type FlagValues } from "../../../dashboard/flag-values.js";
import { flagWarning } from "../../../dashboard/flag-warnings.js";
import { draftOf, flagLines, problemOf } from "../../../dashboard/flags.js";
import { aMachine, aMove, aSnapshot, type Changes } from "./snapshot-scene.ts";

/** How the page offers and explains the flags. The coordinator decides what a flag may be. */

const flag = (fields: object = {}) =>
  ({ name: "queue_max", value: "32", initial: "32", source: "default", valid: true, ...fields }) as const;

/** The outermost values that the page offers, and those just beyond them. */
function edgesOf(values: FlagValues): { within: readonly string[]; without: readonly string[] } {
  switch (values.kind) {
    case "choice":
      return { within: values.choices, without: ["no such value"] };
    case "whole":
      return {
        within: [`${values.min}`, `${values.max}`],
        without: [`${values.min - 1}`, `${values.max + 1}`],
      };
    case "text":
      return { within: [], without: [] };
  }
}

describe("what the page offers for a flag", () => {
  it("knows every flag of the coordinator, and no other", () => {
    expect(Object.keys(FLAG_WORDS).toSorted()).toEqual([...FLAG_NAMES].toSorted());
    for (const name of FLAG_NAMES) expect(flagWords(name).about).not.toBe("");
  });

  it.each(FLAG_NAMES)("is what the coordinator takes, from end to end: %s", (name) => {
    const { within, without } = edgesOf(flagWords(name).values);
    const isTaken = (text: string) => flagProblem(name, text) === null;
    expect([...within, INITIAL_TEXTS[name]].filter((text) => !isTaken(text))).toEqual([]);
    expect(without.filter(isTaken)).toEqual([]);
  });

  it("leaves out no choice that the coordinator names", () => {
    for (const name of FLAG_NAMES) {
      const { values } = flagWords(name);
      if (values.kind !== "choice") continue;
      const named = flagProblem(name, "no such value")?.match(/(?<=")[a-z_]+(?=")/g);
      expect(named?.toSorted()).toEqual(values.choices.toSorted());
    }
  });

  it("says the range of a number with its unit", () => {
    expect(hintOf(flagWords("tick_seconds").values)).toBe("5 to 3,600 seconds");
    expect(hintOf(flagWords("placement").values)).toBe("");
  });

  it("takes a flag that is newer than the page as a text", () => {
    expect(flagWords("brand_new").values.kind).toBe("text");
    expect(flagWords("constructor").values.kind).toBe("text");
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
    expect(same).toMatchObject({ isChanged: false, problem: "" });
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
    const enforce = (assignment_gate: "on" | "off") =>
      textOf("placement", "enforce", {
        fleet: { assignment_gate },
        placement: { moves: [aMove()] },
        flags: budget,
      });
    expect(enforce("on")).toContain(
      "plans are carried out, at most 4 moves a tick. The last plan has 1 move.",
    );
    expect(enforce("off")).toContain("only shown for now");
  });

  it.each(["min_provider_version", "assign_min_provider_version"])("names the version of %s", (name) => {
    expect(flagWarning(name, "0.9.0", aSnapshot())?.title).toContain("0.9.0");
  });
});
