import { Assignments } from "../../../core/pool/assignments.ts";
import type { PoolCall } from "../../../core/pool/calls.ts";
import { Cordons } from "../../../core/pool/cordons.ts";
import type { PoolRecord, RecordStore } from "../../../core/pool/record.ts";
import { decodeUpstream, encodeUpstream } from "../../../protocol/codec.ts";
import { epochSchema, NEVER_MANAGED } from "../../../protocol/ids.ts";
import { Hooks, WithRareFaults } from "../hooks.ts";
import type { PoolHost } from "../pool-host.ts";
import type { MemoryRecordStore } from "../stores.ts";
import type { Wire } from "../wire.ts";
import { all, replace } from "./replace.ts";

/** Rules that a pool keeps, each taken away. */

/** That a machine is cordoned holds for the sockets that are open when a pool hears it. */
export class CordonsOfSockets extends Hooks {
  override install(): () => void {
    return replace(Cordons.prototype, "has", () => false);
  }
}

/** The word on a cordon that comes last counts, whatever it is older than. */
export class LastWordCounts extends Hooks {
  override install(): () => void {
    const { heard } = Cordons.prototype;
    let asOf = 2 ** 50;
    return replace(Cordons.prototype, "heard", function (this: Cordons, id, { isCordoned }) {
      asOf += 1;
      return heard.call(this, id, { isCordoned, cordonAsOf: asOf });
    });
  }
}

export class StampsIgnored extends Hooks {
  override install(): () => void {
    return replace(Assignments.prototype, "stamp", () => true);
  }
}

/** Calls with old epochs are carried out by the pools as if they were new. */
export class OldCallsObeyed extends Hooks {
  override install(): () => void {
    const { release, unmanage, expect } = Assignments.prototype;
    const undo = [
      replace(Assignments.prototype, "release", function (this: Assignments, id, epoch, now) {
        return release.call(this, id, newer(this, id, epoch), now);
      }),
      replace(Assignments.prototype, "unmanage", function (this: Assignments, id, epoch, now) {
        return unmanage.call(this, id, newer(this, id, epoch), now);
      }),
      replace(Assignments.prototype, "expect", function (this: Assignments, id, epoch, terms, now) {
        return expect.call(this, id, newer(this, id, epoch), terms, now);
      }),
    ];
    return all(undo);
  }
}

function newer(
  assignments: Assignments,
  id: PoolRecord["machineId"],
  epoch: PoolRecord["epoch"],
): PoolRecord["epoch"] {
  const known = assignments.get(id)?.epoch ?? NEVER_MANAGED;
  return epoch < known ? epochSchema.parse(known + 1) : epoch;
}

/** A machine that serves a pool as an unmanaged one goes on doing so while it is expected there. */
export class ExpectedStaysRoutable extends Hooks {
  override performed(pool: PoolHost, call: PoolCall): void {
    if (call.kind !== "expect") return;
    for (const { connection, machine } of pool.wires) {
      if (machine.id === call.machineId && connection?.record?.mode === "expected") connection.record = null;
    }
  }
}

/** Whoever dials cuts off the machine whose name it uses. */
export class UpgradeSupersedes extends Hooks {
  override accepting(pool: PoolHost, wire: Wire): void {
    for (const older of pool.wires) {
      if (older === wire || older.machine !== wire.machine) continue;
      const { connection } = older;
      older.closeFromPool("superseded");
      if (connection !== null) pool.pool.disconnected(connection, connection.lastMessageAt);
    }
  }
}

export class DeadlinesNeverEnd extends Hooks {
  override install(): () => void {
    const undo = replace(Assignments.prototype, "expire", () => false);
    const undoNext = replace(Assignments.prototype, "nextDeadlineAt", () => null);
    return () => {
      undo();
      undoNext();
    };
  }
}

/** An assigned machine that comes back without its model passes for one that has it. */
export class NoReloadAfterRegister extends Hooks {
  override install(): () => void {
    const { observe } = Assignments.prototype;
    const undo = [
      replace(Assignments.prototype, "reloadAfterRegister", () => {}),
      replace(Assignments.prototype, "observe", function (this: Assignments, id, held, loaded, now) {
        if (this.get(id)?.mode !== "assigned") observe.call(this, id, held, loaded, now);
      }),
    ];
    return all(undo);
  }
}

/** A heartbeat with the right model in memory revives a failed assignment. */
export class HeartbeatRevives extends Hooks {
  override install(): () => void {
    const { observe } = Assignments.prototype;
    return replace(Assignments.prototype, "observe", function (this: Assignments, id, held, loaded, now) {
      const record = this.get(id);
      const isExact = held !== null && loaded.length === 1 && loaded[0] === held.model_id;
      if (record?.mode === "failed" && isExact && held.epoch === record.epoch) {
        Object.assign(record, { mode: "assigned", error: null });
      } else observe.call(this, id, held, loaded, now);
    });
  }
}

/** Any status counts for the record there is. */
export class StatusesFitted extends Hooks {
  override toPool(pool: PoolHost, wire: Wire, text: string): string {
    const record = pool.record(wire.machine.id);
    if (record === null || !text.startsWith('{"type":"assign_model_status"')) return text;
    const decoded = decodeUpstream(text);
    if (!decoded.ok || decoded.value.type !== "assign_model_status") return text;
    return encodeUpstream({ ...decoded.value, model_id: pool.model, epoch: record.epoch });
  }
}

/** A pool that wakes up has forgotten its records. */
export class RecordsForgotten extends Hooks {
  override records(disk: MemoryRecordStore): RecordStore {
    disk.records.clear();
    return disk;
  }
}

/** A pool does not notice that a machine serves its owner only. */
export class PrivateServesAll extends WithRareFaults {
  override toPool(_pool: PoolHost, _wire: Wire, text: string): string {
    return text.replace('"private_only":true', '"private_only":false');
  }
}

/** A pool does not notice that a machine is reserved for its owner. */
export class ReservedServesAll extends WithRareFaults {
  override toPool(_pool: PoolHost, _wire: Wire, text: string): string {
    return text.replace('"reserved":true', '"reserved":false');
  }
}

/** A pool does not notice that a machine takes no more requests. */
export class StoppingServesOn extends WithRareFaults {
  override toPool(_pool: PoolHost, _wire: Wire, text: string): string {
    return text.replace('"accepting":false', '"accepting":true');
  }
}
