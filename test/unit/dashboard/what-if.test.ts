import { describe, expect, it } from "vitest";

import { simulationSchema } from "../../../core/fleet/simulation.ts";
import { ApiError } from "../../../dashboard/api-error.js";
import {
  answerSentence,
  demandFields,
  isAbout,
  KNOBS,
  questionOf,
  refusalOf,
} from "../../../dashboard/what-if.js";
import { aMove, aPlanned, aPool, aSnapshot } from "./snapshot-scene.ts";

/** The question to the planner: what was typed becomes what the API takes. */

const stay = { machine_id: "mac-2", reason: "no_gain", best_target: null, best_gain_rps: null };
const refused = (param: string) => new ApiError(`${param}: must be positive`, { param });

describe("the question", () => {
  it("asks for what was typed, and leaves the rest as it is in the fleet", () => {
    const { asked, wrong } = questionOf(
      [
        { name: "max_loads_per_tick", text: " 8 " },
        { name: "min_dwell_seconds", text: "" },
      ],
      [
        { name: "a.b", text: "0.5" },
        { name: "c", text: " " },
      ],
    );
    expect(wrong).toEqual([]);
    expect(asked).toEqual({ max_loads_per_tick: 8, demand: { "a.b": { requests_per_second: 0.5 } } });
  });

  it("has no knob that the API does not know", () => {
    const { asked } = questionOf(
      KNOBS.map(({ name }) => ({ name, text: "1" })),
      [{ name: "a", text: "0" }],
    );
    expect(simulationSchema.parse(asked)).toMatchObject(asked);
  });

  it.each(["x", "1,5", "1e999", "NaN"])("is not asked with what is no number: %s", (text) => {
    const field = { name: "a", text };
    expect(questionOf([], [field]).wrong).toEqual([field]);
  });

  it("shows beside each model of the catalog what is asked of it now", () => {
    const snapshot = aSnapshot({
      fleet: { pools: [aPool(), aPool({ model_id: "b" })] },
      placement: { models: [aPlanned()] },
    });
    expect(demandFields(snapshot)).toEqual([
      { model: "a", now: "1.3" },
      { model: "b", now: "0" },
    ]);
  });
});

describe("the answer", () => {
  it("says how many would move", () => {
    expect(answerSentence({ models: [], moves: [aMove({ epoch: null })], machines: [stay] })).toBe(
      "It would move 1 machine and leave 1. Nothing was changed.",
    );
    expect(answerSentence({ models: [], moves: [], machines: [stay] })).toBe("It would move nothing.");
    expect(answerSentence({ models: [], moves: [], machines: [] })).toContain("no machine");
  });

  it("finds the field that a refusal is about, also of a model with dots", () => {
    expect(isAbout("max_loads_per_tick", refused("max_loads_per_tick"))).toBe(true);
    expect(isAbout("a.b", refused("demand.a.b.requests_per_second"))).toBe(true);
    expect(isAbout("a", refused("demand.a.b.requests_per_second"))).toBe(false);
    expect(refusalOf(refused("demand.a.b.requests_per_second"))).toBe("Demand of a.b: must be positive.");
    expect(refusalOf(refused("max_loads_per_tick"))).toBe("Max_loads_per_tick: must be positive.");
  });
});
