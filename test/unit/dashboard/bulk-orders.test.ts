import { describe, expect, it } from "vitest";

import {
  BULK_CHOICES,
  bulkObstacle,
  bulkSentence,
  bulkWarning,
  type BulkAnswer,
} from "../../../dashboard/bulk-orders.js";

const ok = (machine_id: string) => ({ machine_id, ok: true, error: null });
const refused = (machine_id: string, code: string, message: string) => ({
  machine_id,
  ok: false,
  error: { code, message },
});

const answer = (fields: Partial<BulkAnswer> = {}): BulkAnswer => ({
  order: "cordon",
  accepted: 2,
  refused: 0,
  machines: [ok("a"), ok("b")],
  waiting_for: [],
  ...fields,
});

const mixed = {
  accepted: 1,
  refused: 5,
  machines: [
    ok("a"),
    refused("m1", "machine_not_assignable", "it is private"),
    ...["m2", "m3", "m4", "m5"].map((id) => refused(id, "not_found", "no such machine")),
  ],
};

describe("an order for many machines", () => {
  it("has every order that one machine can be given, but for its removal", () => {
    expect(BULK_CHOICES.map(({ value }) => value)).toEqual([
      "pin",
      "unpin",
      "release",
      "cordon",
      "uncordon",
      "quarantine",
      "readmit",
    ]);
  });

  it("is asked about with what a dry run has said", () => {
    expect(bulkWarning(answer())).toMatchObject({ title: "Cordon 2 machines?", verb: "Cordon" });
    const { title, text, verb } = bulkWarning(answer({ ...mixed, order: "pin", model_id: "gpt" }));
    expect({ title, verb }).toEqual({ title: "Assign 1 machine to gpt?", verb: "Assign" });
    expect(text).toContain("change models at once");
    expect(text).toContain("5 cannot: m1 (it is private); m2, m3, m4 and 1 more (no such machine).");
    for (const { value } of BULK_CHOICES) {
      expect(bulkWarning(answer({ order: value })).text).toMatch(/^[A-Z].*\.$/);
    }
  });

  it("comes to nothing if nobody can have it", () => {
    expect(bulkObstacle(answer())).toBe("");
    const none = { accepted: 0, refused: 1, machines: [refused("a", "gate_off", "the gate is off")] };
    expect(bulkObstacle(answer(none))).toBe(
      "No machine can have this order. 1 refused: a (the gate is off).",
    );
  });

  it("says what came of it, with all that was not done", () => {
    expect(bulkSentence(answer())).toBe("2 accepted.");
    expect(bulkSentence(answer({ ...mixed, waiting_for: ["gpt"] }))).toBe(
      "1 accepted. 5 refused: m1 (it is private); m2, m3, m4 and 1 more (no such machine). " +
        "No answer yet from gpt: it holds there from the next tick on.",
    );
  });
});
