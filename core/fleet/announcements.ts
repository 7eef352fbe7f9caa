import { ORDER_TIMES } from "../limits.ts";
import type { PoolCall } from "../pool/calls.ts";
import type { Directory } from "./directory.ts";
import type { Intents } from "./intents.ts";
import type { Memberships } from "./memberships.ts";

/** For each unmanaged machine whose list of pools is not what it was last told: the calls that tell it. */
export function* announcements(
  directory: Directory,
  memberships: Memberships,
  intents: Intents,
): Generator<{ readonly pool: string; readonly call: PoolCall }> {
  if (directory.catalog === null) return;
  for (const machineId of memberships.machines()) {
    const machine = directory.get(machineId);
    const { pool, stamp } = intents.destination(machineId);
    if (machine === null || pool !== null || stamp.mode !== "unmanaged") continue;
    const pools = directory.poolsOf(machineId);
    if (pools.join() === machine.pools.join()) continue;
    const assignment = { model_id: null, epoch: stamp.epoch, ...ORDER_TIMES };
    for (const name of memberships.of(machineId)) {
      yield { pool: name, call: { kind: "announce", machineId, pools, assignment } };
    }
  }
}
