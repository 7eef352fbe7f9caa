import { expect, it } from "vitest";

import { parseCatalog, type CatalogEntry } from "../../../../core/catalog.ts";
import { readFlags } from "../../../../core/flags.ts";
import { floorWarnings } from "../../../../core/fleet/floors.ts";
import type { Machine } from "../../../../core/fleet/machine.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { A, B, C, FleetScene } from "./fleet-scene.ts";

const flags = readFlags({ placement: "enforce", assignment_gate: "on" });

/** Machines with the models a and b that are connected and take orders. */
function machines(count: number, changes: Partial<Machine> = {}): Machine[] {
  const scene = new FleetScene();
  const ids = Array.from({ length: count }, (_, at) => machineIdSchema.parse(`mac-${at}`));
  for (const id of ids) scene.register(A, {}, id);
  return [...scene.core.directory.all()].map((machine) => ({ ...machine, ...changes }));
}

function catalog(floors: Readonly<Record<string, number>>): readonly CatalogEntry[] {
  const parsed = parseCatalog(
    Object.entries(floors).map(([id, floor]) => ({
      id,
      floor,
      context_length: 1,
      size_gb: 1,
      min_ram_gb: 2,
    })),
  );
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.catalog.entries;
}

it("says that a floor is higher than there are machines for it, and which model gets none by it", () => {
  const warnings = floorWarnings(catalog({ [A]: 10, [B]: 0, [C]: 0 }), machines(3), flags);
  expect(warnings).toEqual([
    'the floor of "a" is 10, and 3 machines can hold it',
    expect.stringContaining('the floors of "a" take 3 machines, all that can hold "b"'),
  ]);
});

it("counts the floors of several models together", () => {
  const floors = { [A]: 1, [B]: 1, [C]: 0 };
  const withC = machines(2).map((machine) => ({
    ...machine,
    models: [...machine.models, { id: C, sizeBytes: 1, decodeTps: null, prefillTps: null }],
  }));
  expect(floorWarnings(catalog(floors), withC, flags)).toEqual([
    expect.stringMatching(/"a", "b" take 2 machines.*"c"/),
  ]);
  expect(floorWarnings(catalog(floors), [...withC, ...machines(1, { models: [] })], flags)).toHaveLength(1);
  expect(floorWarnings(catalog(floors), [...withC, ...machines(1)], flags)).toEqual([]);
});

it.each<[string, Partial<Machine>]>([
  ["has gone", { goneAt: 1 }],
  ["is cordoned", { cordonedAt: 1 }],
  ["is quarantined", { isQuarantined: true }],
])("does not count a machine that %s", (_, changes) => {
  expect(floorWarnings(catalog({ [A]: 1 }), machines(1, changes), flags)).toEqual([
    'the floor of "a" is 1, and 0 machines can hold it',
  ]);
  expect(floorWarnings(catalog({ [A]: 1 }), machines(1), flags)).toEqual([]);
});

it("says nothing while placement is off, or if a model is short that no machine could hold", () => {
  expect(floorWarnings(catalog({ [A]: 9 }), machines(1), readFlags({}))).toEqual([]);
  expect(floorWarnings(catalog({ [A]: 1, [C]: 0 }), machines(1), flags)).toEqual([]);
});
