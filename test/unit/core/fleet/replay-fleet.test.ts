import { describe, expect, it } from "vitest";

import { parseCatalog, type CatalogEntry } from "../../../../core/catalog.ts";
import {
  replayFleet,
  replayMachines,
  type AskedModel,
  type ReplayMachine,
} from "../../../../core/fleet/replay-fleet.ts";
import type { Fitness } from "../../../../core/placement/types.ts";
import { modelIdSchema } from "../../../../protocol/ids.ts";
import { parseFleetFile, type FleetFile } from "../../../../simulator/placement/fleet-file.ts";
import { scenarioOf } from "../../../../simulator/placement/scenario.ts";
import { A, B, twoOnA } from "./placement-scene.ts";

/** The fleet file that goes with a day of the fleet's own demand. */

function entries(changes: Record<string, Partial<CatalogEntry>> = {}): readonly CatalogEntry[] {
  const parsed = parseCatalog(
    [A, B].map((id) => ({ id, context_length: 1, size_gb: 10, min_ram_gb: 16, ...changes[id ?? ""] })),
  );
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.catalog.entries;
}

/** One request of 100 prompt tokens and 50 generated ones takes 5 s, beside three others. */
const FIT: Fitness = { slots: 4, decodeTps: 12.5, prefillTps: 100, loadSeconds: 60, onDisk: true };
const FAST: Fitness = { ...FIT, decodeTps: 50, loadSeconds: 40 };

const machine = (fits: Record<string, Fitness>, memoryGb = 64): ReplayMachine => ({
  memoryGb,
  chip: "Apple M2 Max",
  fits,
});
const BOTH = machine({ a: FIT, b: FAST });
const ONLY_A = machine({ a: FIT }, 32);

/** Counts by minute; each answer had 50 tokens. */
const asked = (model: string, ...counts: number[]): AskedModel => ({
  model: modelIdSchema.parse(model),
  rows: counts.map((arrivals, minute) => ({
    minuteAt: minute * 60_000,
    arrivals,
    promptTokens: 100 * arrivals,
    completed: arrivals,
    completionTokens: 50 * arrivals,
  })),
});

/** As the simulator takes it. */
function file(
  machines: readonly ReplayMachine[],
  demand: readonly AskedModel[],
  catalog = entries(),
): FleetFile {
  const made = replayFleet(catalog, machines, demand);
  return parseFleetFile(JSON.parse(JSON.stringify(made)), "the file");
}

describe("[F8] the fleet file for a day of its own", () => {
  it("has the counts replayed as they are, on machines as fast as they are", () => {
    const made = file([BOTH, BOTH, ONLY_A], [asked("a", 90, 0, 30), asked("b", 0, 0, 240)]);
    const counts = [
      [90, 0],
      [0, 0],
      [30, 240],
    ];
    const { demand, machines } = scenarioOf({ start_s: 0, models: ["a", "b"], counts }, made, 1);
    const perMinute = (units: number): number => units * made.machine_requests_per_minute;
    expect(demand.map((minute) => minute.map((units) => Math.round(perMinute(units) * 10) / 10))).toEqual(
      counts,
    );
    // 4 slots of 5 s, and of 2 s.
    expect(machines.map(({ speeds }) => speeds.map((speed) => Math.round(perMinute(speed))))).toEqual([
      [48, 120],
      [48, 120],
      [48, 0],
    ]);
    expect(made.switch_seconds).toBe(75);
  });

  it("leaves out a private machine, which serves its owner alone", () => {
    const scene = twoOnA();
    scene.join("mac-3", A, { private_only: true });
    scene.tick();
    const { directory, flagBook, placement } = scene.core;
    if (directory.catalog === null) throw new Error("there is a catalog");
    const view = scene.core.view(scene.now);
    expect(view.machines).toHaveLength(3);
    expect(replayMachines(view, directory.catalog, flagBook.flags, placement.loadTimes)).toHaveLength(2);
  });

  it("groups machines that serve each model equally fast", () => {
    const { machines } = file([BOTH, ONLY_A, BOTH], [asked("a", 1), asked("b", 1)]);
    expect(machines).toEqual([
      { count: 2, memory_gb: 64, chip: "Apple M2 Max", speed: { a: 0.4, b: 1 } },
      { count: 1, memory_gb: 32, chip: "Apple M2 Max", speed: { a: 0.4, b: 0 } },
    ]);
  });

  it("leaves out what nobody asked for, what no machine serves and what may have none", () => {
    const both = [asked("a", 1), asked("b", 1)];
    const models = (made: FleetFile): string[] => made.models.map(({ id }) => id);
    expect(models(file([BOTH], [asked("a", 1), asked("b", 0)]))).toEqual(["a"]);
    expect(models(file([ONLY_A], both))).toEqual(["a"]);
    expect(models(file([BOTH], both, entries({ b: { cap: 0 } })))).toEqual(["a"]);
    expect(file([BOTH, machine({})], both).machines).toMatchObject([{ count: 1 }]);
  });

  it("keeps what nobody asked for and has a floor", () => {
    const made = file([BOTH, BOTH], [asked("a", 1), asked("b", 0)], entries({ b: { floor: 1 } }));
    expect(made.models).toMatchObject([
      { id: "a", share: 1 },
      { id: "b", share: 0, floor: 1 },
    ]);
    expect(replayFleet(entries({ b: { floor: 1 } }), [BOTH], [asked("a", 0)])).toBeNull();
  });

  it("asks for no more machines than a floor can have", () => {
    const made = file([BOTH, ONLY_A], [asked("a", 1), asked("b", 1)], entries({ b: { floor: 2 } }));
    expect(made.models).toMatchObject([{ floor: 0 }, { floor: 1 }]);
  });

  it("is none without demand or machines", () => {
    expect(replayFleet(entries(), [BOTH], [asked("a", 0)])).toBeNull();
    expect(replayFleet(entries(), [], [asked("a", 1)])).toBeNull();
  });

  it("takes a model whose requests were all refused to answer as many tokens as an unknown one", () => {
    const [refused] = [asked("a", 10)].map(({ model, rows }) => ({
      model,
      rows: rows.map((row) => ({ ...row, completed: 0, completionTokens: 0 })),
    }));
    const made = file([ONLY_A], refused === undefined ? [] : [refused]);
    // 1 s for the prompt, 256 tokens at 12.5 a second.
    expect(made.machine_requests_per_minute).toBeCloseTo(240 / 21.48, 2);
  });
});
