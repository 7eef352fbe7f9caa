import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { MEMBERSHIP_GRACE_MS, ORDER_TIMES } from "../limits.ts";
import type { PoolCall } from "../pool/calls.ts";
import type { Directory } from "./directory.ts";
import type { Intents } from "./intents.ts";
import type { Memberships } from "./memberships.ts";

/**
 * The calls that tell unmanaged machines their list of pools, for those whose list has changed since they were told, or that
 * have not dialed all of it. The latter may have received an older list last, with a delayed order that released them.
 */
export function* announcements(
  directory: Directory,
  memberships: Memberships,
  intents: Intents,
  now: number,
): Generator<{ readonly pool: string; readonly call: PoolCall }> {
  if (directory.catalog === null) return;
  for (const machineId of memberships.machines()) {
    const machine = directory.get(machineId);
    const { pool, stamp } = intents.destination(machineId);
    if (machine === null || pool !== null || stamp.mode !== "unmanaged") continue;
    const pools = directory.poolsOf(machineId);
    const wasTold = pools.join() === machine.pools.join();
    const isNew = now - machine.registeredAt <= MEMBERSHIP_GRACE_MS;
    if (wasTold && (isNew || hasDialed(machineId, pools, memberships))) continue;
    const assignment = { model_id: null, epoch: stamp.epoch, ...ORDER_TIMES };
    for (const name of memberships.of(machineId)) {
      yield { pool: name, call: { kind: "announce", machineId, pools, assignment } };
    }
  }
}

function hasDialed(machineId: MachineId, pools: readonly ModelId[], memberships: Memberships): boolean {
  return pools.every((pool) => memberships.get(machineId, pool) !== null);
}
