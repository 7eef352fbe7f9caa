import { describe, expect, it } from "vitest";

import { EdgeVerdicts, RefusalTally, type Refusal } from "../../../core/edge-verdicts.ts";
import { EDGE_TALLY_MAX } from "../../../core/limits.ts";

const refusal: Refusal = { code: "pool_exhausted", status: 429, body: "{}", retryAfterS: 12.5 };

describe("a verdict", () => {
  it("holds for its model as long as the pool has said, and a second at most", () => {
    const verdicts = new EdgeVerdicts();
    verdicts.hold("m", refusal, 250, 1000);
    expect(verdicts.find("m", 1249)).toBe(refusal);
    expect(verdicts.find("m", 1250)).toBeNull();
    expect(verdicts.find("other", 1000)).toBeNull();
    verdicts.hold("m", refusal, 60_000, 2000);
    expect(verdicts.find("m", 2999)).toBe(refusal);
    expect(verdicts.find("m", 3000)).toBeNull();
  });

  it("that holds for no time is none, and the newest counts", () => {
    const verdicts = new EdgeVerdicts();
    verdicts.hold("m", refusal, 0, 1000);
    expect(verdicts.find("m", 1000)).toBeNull();
    const newer = { ...refusal, code: "queue_full" } as const;
    verdicts.hold("m", refusal, 1000, 1000);
    verdicts.hold("m", newer, 100, 1000);
    expect(verdicts.find("m", 1000)).toBe(newer);
  });
});

describe("[F8] the tally", () => {
  const count = { code: "pool_exhausted", keyId: "a", requests: 1, promptTokens: 10 } as const;

  it("adds up by model, key and reason, and is handed over once", () => {
    const tally = new RefusalTally();
    expect(tally.isEmpty).toBe(true);
    tally.add("m", count);
    tally.add("m", { ...count, promptTokens: 5 });
    tally.add("m", { ...count, keyId: "b" });
    tally.add("m", { ...count, code: "queue_full" });
    tally.add("n", count);
    expect(tally.drain()).toEqual([
      {
        model: "m",
        counts: [
          { ...count, requests: 2, promptTokens: 15 },
          { ...count, keyId: "b" },
          { ...count, code: "queue_full" },
        ],
      },
      { model: "n", counts: [count] },
    ]);
    expect(tally.isEmpty).toBe(true);
    expect(tally.drain()).toEqual([]);
  });

  it("is full at its limit, until it is handed over", () => {
    const tally = new RefusalTally();
    for (let key = 0; key < EDGE_TALLY_MAX; key++) {
      expect(tally.isFull).toBe(false);
      tally.add("m", { ...count, keyId: String(key) });
    }
    expect(tally.isFull).toBe(true);
    tally.drain();
    expect(tally.isFull).toBe(false);
  });
});
