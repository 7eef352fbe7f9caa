import { describe, expect, it } from "vitest";

import {
  FLAG_NAMES,
  flagProblem,
  INITIAL_TEXTS,
  readFlags,
  takenBy,
  type FlagName,
} from "../../../core/flags.ts";
import { FlagBook } from "../../../core/fleet/flag-book.ts";
import { compareVersions } from "../../../core/semver.ts";
import { MemoryFleetStore } from "../../../simulator/handover/stores.ts";

describe("a flag", () => {
  it.each<[FlagName, string]>([
    ["assignment_gate", "yes"],
    ["placement", "on"],
    ["tick_seconds", "1"],
    ["max_loads_per_tick", "-1"],
    ["queue_max", "4.5"],
    ["assign_min_provider_version", "0.6"],
    ["min_provider_version", ""],
    ["shed_models", "gpt-oss gemma"],
    ["shed_models", "gpt-oss, -gemma"],
    ["shed_models", "gpt-oss#1"],
    ["shed_models", `gpt-oss,${"x".repeat(129)}`],
    ["shed_models", '["gpt-oss"]'],
  ])("%s takes no %j, and says what it takes", (name, text) => {
    expect(flagProblem(name, text)).toMatch(new RegExp(`^${name} must be `));
  });

  it.each(["", " gpt-oss , org/gemma:q4,, ", "not-in-the-catalog"])("shed_models takes %j", (text) => {
    expect(flagProblem("shed_models", text)).toBeNull();
  });

  it("keeps models that were shed before their ids were looked at", () => {
    const store = new MemoryFleetStore();
    const state = { name: "shed_models", text: "a b, c", lastRead: null, invalid: null } as const;
    store.saveFlag(state, 1);
    expect(new FlagBook(store, "1.0.0").flags.shed_models).toEqual(["a b", "c"]);
  });

  it.each(FLAG_NAMES)("%s takes what it says that it takes, from end to end", (name) => {
    const takes = takenBy(name);
    const [within, without] =
      "choices" in takes
        ? [takes.choices, ["no such value"]]
        : "min" in takes
          ? [
              [`${takes.min}`, `${takes.max}`],
              [`${takes.min - 1}`, `${takes.max + 1}`],
            ]
          : [[INITIAL_TEXTS[name]], []];
    for (const text of within) expect([text, flagProblem(name, text)]).toEqual([text, null]);
    for (const text of without) expect(flagProblem(name, text)).not.toBeNull();
  });

  it("says which words, which numbers, or what kind of text it takes", () => {
    expect(takenBy("placement")).toEqual({ choices: ["off", "shadow", "enforce"] });
    expect(takenBy("tick_seconds")).toEqual({ min: 5, max: 3600 });
    expect(takenBy("min_provider_version")).toEqual({ text: "a version such as 0.6.18, or none" });
    for (const name of FLAG_NAMES) expect(takenBy(name)).not.toEqual({ text: "" });
  });

  it("names in a refusal no other choices than those that it takes", () => {
    for (const name of FLAG_NAMES) {
      const takes = takenBy(name);
      if (!("choices" in takes)) continue;
      const named = flagProblem(name, "no such value")?.match(/(?<=")[a-z_]+(?=")/g);
      expect(named?.toSorted()).toEqual(takes.choices.toSorted());
    }
  });

  it("has its initial value until somebody sets it", () => {
    const flags = readFlags({ max_loads_per_tick: "0", shed_models: " a , b,," });
    expect(flags).toMatchObject({ assignment_gate: "off", tick_seconds: 30, max_loads_per_tick: 0 });
    expect(flags.shed_models).toEqual(["a", "b"]);
  });
});

describe("[H17] the flags in force", () => {
  it("outlive the fleet's restart", () => {
    const store = new MemoryFleetStore();
    new FlagBook(store, "1.0.0").set("placement", "shadow");
    expect(new FlagBook(store, "1.0.0")).toMatchObject({ version: 1, flags: { placement: "shadow" } });
  });

  it("are the initial ones where a later version has set what this one does not know, which is shown and not forgotten", () => {
    const store = new MemoryFleetStore();
    store.saveFlag({ name: "placement", text: "dreaming", lastRead: null, invalid: null }, 3);
    // What an earlier version took is less than what is asked of a new value, and stays in force.
    store.saveFlag({ name: "shed_models", text: "a b", lastRead: null, invalid: null }, 4);
    const book = new FlagBook(store, "1.0.0");
    expect(book).toMatchObject({ version: 4, flags: { placement: "off", shed_models: ["a b"] } });
    expect(book.view("placement")).toMatchObject({ value: "off", valid: false, invalid: "dreaming" });
    expect(store.flags()[0]).toMatchObject({ text: "dreaming" });
    expect(book.set("placement", "shadow")).toBeNull();
    expect(book.view("placement")).toMatchObject({ value: "shadow", valid: true });
  });

  it("guard what they guarded where a later version has set what this one does not know", () => {
    const store = new MemoryFleetStore();
    store.saveFlag({ name: "assignment_gate", text: "pinned_only", lastRead: null, invalid: null }, 1);
    store.saveFlag({ name: "min_trust_level", text: "sealed", lastRead: null, invalid: null }, 2);
    const book = new FlagBook(store, "1.0.0");
    // By `off` every machine would be released, and by `none` any would get what clients send.
    expect(book.flags).toMatchObject({ assignment_gate: "on", min_trust_level: "hardware" });
    expect(book.view("assignment_gate")).toMatchObject({
      value: "on",
      initial: "off",
      valid: false,
      invalid: "pinned_only",
    });
    expect(store.flags()[0]).toMatchObject({ text: "pinned_only" });
    expect(book.set("assignment_gate", "off")).toBeNull();
    expect(book.flags.assignment_gate).toBe("off");
    // A slip of the pen in KV is something else: what was in force stays so.
    book.readKv("assignment_gate", "onn", false);
    expect(book.flags.assignment_gate).toBe("off");
  });

  it("follow what an operator writes to KV, once", () => {
    const book = new FlagBook(new MemoryFleetStore(), "1.0.0");
    expect(book.readKv("placement", "shadow", false)).toBe(true);
    expect(book.readKv("placement", "shadow", false)).toBe(false);
    book.set("placement", "off");
    // KV still shows the operator's old value: that is no change.
    expect(book.readKv("placement", "shadow", false)).toBe(false);
    expect(book.flags.placement).toBe("off");
  });

  it("do not turn back when KV shows late what the fleet wrote there first", () => {
    const book = new FlagBook(new MemoryFleetStore(), "1.0.0");
    book.set("assignment_gate", "on");
    book.set("assignment_gate", "off");
    book.readKv("assignment_gate", "on", true);
    book.readKv("assignment_gate", "off", true);
    expect(book.flags.assignment_gate).toBe("off");
  });

  it("are shown as valid again once somebody has deleted from KV what does not parse", () => {
    const book = new FlagBook(new MemoryFleetStore(), "1.0.0");
    book.readKv("queue_max", "lots", false);
    expect(book.readKv("queue_max", null, false)).toBe(false);
    expect(book.view("queue_max")).toMatchObject({ value: "32", valid: true });
  });

  it("keep the last good value when KV holds one that does not parse, and show both", () => {
    const book = new FlagBook(new MemoryFleetStore(), "1.0.0");
    book.set("queue_max", "7");
    expect(book.readKv("queue_max", "lots", false)).toBe(false);
    expect(book.view("queue_max")).toMatchObject({ value: "7", valid: false, invalid: "lots" });
    book.set("queue_max", "8");
    expect(book.view("queue_max")).toEqual({
      name: "queue_max",
      value: "8",
      initial: "32",
      takes: { min: 0, max: 100_000 },
      source: "kv",
      valid: true,
    });
  });
});

it("[F12] no provider version is demanded that is newer than the one there is", () => {
  const book = new FlagBook(new MemoryFleetStore(), "1.0.0");
  for (const name of ["min_provider_version", "assign_min_provider_version"] as const) {
    expect(book.set(name, "1.0.1")).toContain("at most 1.0.0");
    expect(book.readKv(name, "2.0.0", false)).toBe(false);
    expect(book.set(name, "1.0.0")).toBeNull();
  }
});

describe("[C16] versions", () => {
  // The order that semver.org gives as its example, and numbers that compare as numbers.
  const rising = [
    "0.6.9",
    "0.6.18",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.10.0",
  ];

  it("compare by the rules of semver", () => {
    const shuffled = rising.toReversed();
    expect(shuffled.toSorted(compareVersions)).toEqual(rising);
    expect(compareVersions("1.0.0+a", "1.0.0+b")).toBe(0);
  });

  it("that do not parse are older than any", () => {
    for (const none of [null, "", "latest", "1.2"]) expect(compareVersions(none, "0.0.1")).toBeLessThan(0);
  });
});
