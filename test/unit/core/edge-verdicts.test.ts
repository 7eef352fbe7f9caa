import { describe, expect, it } from "vitest";

import { EdgeVerdicts, RefusalTally, type Refusal } from "../../../core/edge-verdicts.ts";
import { EDGE_TALLY_MAX, EDGE_VERDICTS_MAX } from "../../../core/limits.ts";

const refusal: Refusal = { code: "pool_exhausted", status: 429, body: "{}", retryAfterS: 12.5 };

describe("a verdict", () => {
  it("holds for its model as long as the pool has said, and a second at most", () => {
    const verdicts = new EdgeVerdicts();
    verdicts.hold("m", null, refusal, 250, 1000);
    expect(verdicts.find("m", "a", 1249)).toBe(refusal);
    expect(verdicts.find("m", "a", 1250)).toBeNull();
    expect(verdicts.find("other", "a", 1000)).toBeNull();
    verdicts.hold("m", null, refusal, 60_000, 2000);
    expect(verdicts.find("m", "a", 2999)).toBe(refusal);
    expect(verdicts.find("m", "a", 3000)).toBeNull();
  });

  it("of one model leaves that of another alone", () => {
    const verdicts = new EdgeVerdicts();
    verdicts.hold("m", null, refusal, 250, 1000);
    verdicts.hold("other", null, refusal, 250, 1000);
    expect(verdicts.find("m", "a", 1000)).toBe(refusal);
  });

  it("that holds for no time is none, and the newest counts", () => {
    const verdicts = new EdgeVerdicts();
    verdicts.hold("m", null, refusal, 0, 1000);
    expect(verdicts.find("m", "a", 1000)).toBeNull();
    const newer = { ...refusal, code: "queue_full" } as const;
    verdicts.hold("m", null, refusal, 1000, 1000);
    verdicts.hold("m", null, newer, 100, 1000);
    expect(verdicts.find("m", "a", 1000)).toBe(newer);
  });
});

describe("a verdict for one key", () => {
  it("holds for that key and no other", () => {
    const verdicts = new EdgeVerdicts();
    verdicts.hold("m", "a", refusal, 500, 1000);
    expect(verdicts.find("m", "a", 1499)).toBe(refusal);
    expect(verdicts.find("m", "b", 1499)).toBeNull();
    expect(verdicts.find("m", "a", 1500)).toBeNull();
  });

  it("is one of a limited number", () => {
    const verdicts = new EdgeVerdicts();
    for (let key = 0; key <= EDGE_VERDICTS_MAX; key++) verdicts.hold("m", String(key), refusal, 500, 1000);
    expect(verdicts.find("m", "0", 1000)).toBeNull();
    expect(verdicts.find("m", String(EDGE_VERDICTS_MAX), 1000)).toBe(refusal);
  });
});

describe("[F8] the tally", () => {
  const count = { code: "pool_exhausted", keyId: "a", requests: 1, promptTokens: 10 } as const;

  it("adds up by model, key and reason, and is handed over once", () => {
    const tally = new RefusalTally();
    expect(tally.drain()).toEqual([]);
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
    expect(tally.drain()).toEqual([]);
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
