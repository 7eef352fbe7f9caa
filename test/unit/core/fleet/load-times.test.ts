import { describe, expect, it } from "vitest";

import { LoadTimes } from "../../../../core/fleet/load-times.ts";
import { machineIdSchema, modelIdSchema } from "../../../../protocol/ids.ts";
import { MemoryPlacementStore } from "../../../../simulator/handover/stores.ts";

const SLOW = machineIdSchema.parse("slow");
const FAST = machineIdSchema.parse("quick");
const NEW = machineIdSchema.parse("new");
const SMALL = modelIdSchema.parse("small");
const LARGE = modelIdSchema.parse("large");
const GONE = modelIdSchema.parse("gone");

/** Seconds that a load of this size is guessed to take. */
const GUESSES: Readonly<Record<string, number>> = { small: 20, large: 100 };

describe("how long a load is expected to take", () => {
  const store = new MemoryPlacementStore();
  const expectedOf = () => new LoadTimes(store).expected((model) => GUESSES[model] ?? null);

  it("is the guess while nothing was measured", () => {
    expect(expectedOf()(NEW, LARGE, 100)).toBe(100);
  });

  it("is what was measured, else the guess as much longer as the machine's other loads took, else those of all", () => {
    store.saveLoadTime({ machineId: SLOW, model: SMALL, seconds: 60 });
    store.saveLoadTime({ machineId: FAST, model: LARGE, seconds: 180 });
    const expected = expectedOf();
    expect(expected(SLOW, SMALL, 20)).toBe(60);
    expect(expected(SLOW, LARGE, 100)).toBe(300);
    expect(expected(FAST, SMALL, 20)).toBe(36);
    expect(expected(NEW, SMALL, 20)).toBe(40);
    expect(expected(NEW, LARGE, 100)).toBe(200);
  });

  it("is not what an earlier version kept of a load of what was in memory already", () => {
    store.saveLoadTime({ machineId: NEW, model: LARGE, seconds: 0 });
    expect(expectedOf()(NEW, LARGE, 100)).toBe(200);
    expect(expectedOf()(NEW, SMALL, 20)).toBe(40);
  });

  it("learns nothing from a model that is in the catalog no more", () => {
    store.saveLoadTime({ machineId: NEW, model: GONE, seconds: 900 });
    expect(expectedOf()(NEW, SMALL, 20)).toBe(40);
  });
});
