import { describe, expect, it } from "vitest";

import { takeTurns } from "../../../../simulator/handover/clock.ts";

describe("takeTurns", () => {
  it("lets promise callbacks run out between two turns, those that they cause too", async () => {
    const seen: string[] = [];
    const promised = async (turn: number): Promise<void> => {
      for (let i = 0; i < 5; i++) await Promise.resolve();
      process.nextTick(() => void Promise.resolve().then(() => seen.push(`after ${turn}`)));
    };
    let turns = 0;
    await takeTurns(() => {
      if (turns === 250) return false;
      turns += 1;
      seen.push(`turn ${turns}`);
      void promised(turns);
      return true;
    });
    const expected = Array.from({ length: 250 }, (_, i) => [`turn ${i + 1}`, `after ${i + 1}`]);
    expect(seen).toEqual(expected.flat());
  });

  it("runs what was promised before the first turn", async () => {
    let isKept = false;
    void Promise.resolve().then(() => (isKept = true));
    const seen: boolean[] = [];
    await takeTurns(() => {
      seen.push(isKept);
      return false;
    });
    expect(seen).toEqual([true]);
  });

  it("takes no turn after one that has failed, and says why", async () => {
    let turns = 0;
    const failing = takeTurns(() => {
      turns += 1;
      throw new Error("broken");
    });
    await expect(failing).rejects.toThrow("broken");
    await takeTurns(() => false);
    expect(turns).toBe(1);
  });
});
