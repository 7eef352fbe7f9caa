import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";

import type { Switch } from "../../core/fleet/machine.ts";
import { SqlFleetStore } from "../../durable-objects/storage/fleet-store.ts";
import { epochSchema, machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { fleet, unique } from "./scene.ts";

it("[C19] removes the newest line of a machine's history only if it is as the one that is to come", async () => {
  const mac = machineIdSchema.parse(unique("mac"));
  const other = machineIdSchema.parse(unique("mac"));
  const line = (fields: Partial<Switch> = {}): Switch => ({
    at: 1,
    machineId: mac,
    from: null,
    to: modelIdSchema.parse("a"),
    epoch: epochSchema.parse(1),
    reason: "again",
    outcome: "failed",
    error: "gone",
    tookMs: 1,
    ...fields,
  });
  await runInDurableObject(fleet(), (_, state) => {
    const store = new SqlFleetStore(state.storage);
    const left = () => store.switches(50).filter(({ machineId }) => machineId === mac || machineId === other);
    for (const entry of [line(), line({ at: 2 }), line({ at: 3, machineId: other })]) store.addSwitch(entry);
    for (const fields of [
      { from: modelIdSchema.parse("b") },
      { to: null },
      { reason: "pinned" },
      { outcome: "superseded" },
      { error: null },
    ] as const) {
      store.removeRepeated(line(fields));
    }
    expect(left()).toHaveLength(3);
    store.removeRepeated(line({ at: 4, epoch: epochSchema.parse(9), tookMs: 9 }));
    expect(left()).toMatchObject([
      { machineId: other, at: 3 },
      { machineId: mac, at: 1 },
    ]);
  });
});
