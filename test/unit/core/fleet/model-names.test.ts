import { describe, expect, it } from "vitest";

import { parseKeptCatalog } from "../../../../core/catalog.ts";
import { replayFleet, replayMachines } from "../../../../core/fleet/replay-fleet.ts";
import { modelIdSchema } from "../../../../protocol/ids.ts";
import { A, B, PlacementScene } from "./placement-scene.ts";

/** No new catalog may have a model by such a name, but one that an earlier version put in force may. */
const C = modelIdSchema.parse("constructor");

const SIZE = { context_length: 1, size_gb: 10, min_ram_gb: 2 };

/** One machine that has all three models on its disk, and two that have `a` and `b`; all hold `a`. */
function threeOnA(): PlacementScene {
  const scene = new PlacementScene({ min_dwell_seconds: "0" });
  const parsed = parseKeptCatalog([A, B, C].map((id) => ({ id, ...SIZE })));
  if (!parsed.ok) throw new Error(parsed.message);
  scene.core.directory.catalog = parsed.catalog;
  const models = [A, B, C].map((id) => ({ id, size_bytes: 1, decode_tps: 50, prefill_tps: 1000 }));
  scene.join("mac-1", A, { models }, [A, B, C]);
  scene.join("mac-2", A);
  scene.join("mac-3", A);
  scene.tick();
  return scene;
}

describe("a model by a name that every object has", () => {
  it("keeps no other model from getting its machines", () => {
    const scene = threeOnA();
    scene.ask(B, 20);
    scene.tick();
    expect(Object.values(scene.held())).toContain("b");
    for (const { demand, deviation, capacity } of scene.core.placement.last?.models ?? []) {
      expect([demand, deviation, capacity].every(Number.isFinite)).toBe(true);
    }
  });

  it("gets machines itself, of those that have it", () => {
    const scene = threeOnA();
    scene.ask(C, 20);
    scene.tick();
    expect(scene.held()).toMatchObject({ "mac-1": "constructor" });
  });

  it("is scored like any other", () => {
    const scene = threeOnA();
    scene.ask(C, 20);
    scene.tick();
    scene.tick();
    for (const { asPlaced, otherwise } of scene.core.placement.scoredDays) {
      expect([asPlaced, otherwise].every(Number.isFinite)).toBe(true);
    }
  });

  it("is asked about what would be without a word about it", () => {
    const scene = threeOnA();
    const { catalog } = scene.core.directory;
    if (catalog === null) throw new Error("there is a catalog");
    const asked = { demand: {}, models: {}, machines: {} };
    const { input } = scene.core.placement.preview(
      scene.core.view(scene.now),
      catalog,
      scene.core.flagBook.flags,
      asked,
    );
    expect(input.models.find(({ modelId }) => modelId === C)).toEqual({
      modelId: C,
      floor: 0,
      cap: null,
      priority: 1,
    });
  });

  it("is in the fleet file with the machines that have it", () => {
    const scene = threeOnA();
    const { directory, flagBook, placement } = scene.core;
    if (directory.catalog === null) throw new Error("there is a catalog");
    const machines = replayMachines(
      scene.core.view(scene.now),
      directory.catalog,
      flagBook.flags,
      placement.loadTimes,
    );
    const row = { minuteAt: 0, arrivals: 6, promptTokens: 600, completed: 6, completionTokens: 600 };
    const fleet = replayFleet(directory.catalog.entries, machines, [
      { model: A, rows: [row] },
      { model: C, rows: [row] },
    ]);
    expect(fleet?.machines.map(({ count, speed }) => [count, speed["constructor"]])).toEqual([
      [1, 1],
      [2, 0],
    ]);
  });
});
