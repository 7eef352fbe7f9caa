import { expect, it } from "vitest";

import { Cooldowns } from "../../../../core/fleet/cooldowns.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { MemoryFleetStore } from "../../../../simulator/handover/stores.ts";
import { A, B, MAC } from "./fleet-scene.ts";

const OTHER = machineIdSchema.parse("mac-2");

it("[C19] are the same for the next life of the fleet, each by itself", () => {
  const store = new MemoryFleetStore();
  const cooldowns = new Cooldowns(store);
  expect(cooldowns.nextEndAt()).toBeNull();
  for (const machineId of [MAC, OTHER]) {
    for (const [model, until] of [
      [A, 5],
      [B, 3],
      [A, 4],
    ] as const)
      cooldowns.save({ machineId, model, until });
  }
  cooldowns.remove({ machineId: MAC, model: B });
  for (const known of [cooldowns, new Cooldowns(store)]) {
    expect(known.all().toSorted((a, b) => a.until - b.until)).toEqual([
      { machineId: OTHER, model: B, until: 3 },
      { machineId: MAC, model: A, until: 4 },
      { machineId: OTHER, model: A, until: 4 },
    ]);
    expect(known.nextEndAt()).toBe(3);
    expect([known.has(MAC, A), known.has(MAC, B), known.has(MAC, null)]).toEqual([true, false, false]);
  }
  cooldowns.forget(OTHER);
  cooldowns.forget(OTHER);
  for (const known of [cooldowns, new Cooldowns(store)]) {
    expect(known.all()).toEqual([{ machineId: MAC, model: A, until: 4 }]);
    expect(known.nextEndAt()).toBe(4);
  }
});
