import type { DialVerdict } from "../../core/fleet/admissions.ts";
import { ControlPlane } from "../../core/fleet/control-plane.ts";
import { Doorway } from "../../core/fleet/doorway.ts";
import { Handover, NOT_UNDERSTOOD } from "../../core/fleet/handover.ts";
import type { Admission } from "../../core/pool/admission.ts";
import { Assignments } from "../../core/pool/assignments.ts";
import type { PoolCall, PoolReply } from "../../core/pool/calls.ts";
import { Cordons } from "../../core/pool/cordons.ts";
import type { PoolRecord, RecordStore, Stamp } from "../../core/pool/record.ts";
import { decodeUpstream, encodeUpstream } from "../../protocol/codec.ts";
import { epochSchema, NEVER_MANAGED } from "../../protocol/ids.ts";
import type { HeldAssignment } from "../../provider/src/agent/assignment.ts";
import { Duty } from "../../provider/src/agent/duty.ts";
import { EngineError } from "../../provider/src/engine.ts";
import { Hooks, WithRareTroubles } from "./hooks.ts";
import type { MachineHost } from "./machine-host.ts";
import type { PoolHost } from "./pool-host.ts";
import type { MemoryRecordStore } from "./stores.ts";
import type { Wire } from "./wire.ts";

/**
 * Each takes one rule of the handover away, from outside: by what reaches a part, or by another method on a class for
 * the length of a run. A simulation that does not notice would prove nothing, so a test plays each until one is caught.
 */

function okReply(call: PoolCall): PoolReply | null {
  if (call.kind !== "release") return null;
  return { kind: "verdict", verdict: { ok: true, mode: "released", epoch: call.epoch } };
}

/** Puts another method on a class. @returns how to undo it. */
function replace<T extends object, K extends keyof T>(target: T, name: K, method: T[K]): () => void {
  const original = target[name];
  target[name] = method;
  return () => {
    target[name] = original;
  };
}

/** A pool that the machine is not connected to is not asked to let go: that it has no socket passes for its word. */
class ReleaseOnlyTheConnected extends Hooks {
  override fake(pool: PoolHost, call: PoolCall): PoolReply | null {
    if (call.kind !== "release") return null;
    const isConnected = [...pool.wires].some(({ machine }) => machine.id === call.machineId);
    return isConnected ? null : okReply(call);
  }
}

/** The target is told to expect the machine at once, whoever has not let go yet. */
class ExpectBeforeRelease extends Hooks {
  override fake(_pool: PoolHost, call: PoolCall): PoolReply | null {
    return okReply(call);
  }
}

/** A deleted machine is struck from the fleet's books at once, whatever its pools still have in theirs. */
class DeletedAtOnce extends Hooks {
  override readonly deletesMachines = true;

  override install(): () => void {
    const { remove } = ControlPlane.prototype;
    return replace(ControlPlane.prototype, "remove", function (this: ControlPlane, id, askedAt, now) {
      const error = remove.call(this, id, askedAt, now);
      if (error !== null) return error;
      for (const pool of this.memberships.of(id)) this.memberships.remove(id, pool);
      return null;
    });
  }
}

/** Whoever has a token may dial and register under any machine's name. */
class AnybodysMachine extends WithRareTroubles {
  override install(): () => void {
    const undo = [
      replace(Doorway.prototype, "whyNotDial", () => null),
      replace(Doorway.prototype, "whyNotRegister", () => null),
    ];
    return () => {
      for (const one of undo) one();
    };
  }
}

/** An order that a later version has written is left as it is. */
class UnreadOrdersLeft extends WithRareTroubles {
  override install(): () => void {
    const { begin } = Handover.prototype;
    return replace(Handover.prototype, "begin", function (this: Handover, wish, now, above) {
      return wish.reason === NOT_UNDERSTOOD ? null : begin.call(this, wish, now, above);
    });
  }
}

/** That a machine is cordoned holds for the sockets that are open when a pool hears it. */
class CordonsOfSockets extends Hooks {
  override install(): () => void {
    return replace(Cordons.prototype, "has", () => false);
  }
}

/** The word on a cordon that comes last counts, whatever it is older than. */
class LastWordCounts extends Hooks {
  override install(): () => void {
    const { heard } = Cordons.prototype;
    let asOf = 2 ** 50;
    return replace(Cordons.prototype, "heard", function (this: Cordons, id, { isCordoned }) {
      asOf += 1;
      return heard.call(this, id, { isCordoned, cordonAsOf: asOf });
    });
  }
}

class StampsIgnored extends Hooks {
  override install(): () => void {
    return replace(Assignments.prototype, "stamp", () => true);
  }
}

/** A reply that has not come passes for a good one. */
class SilenceIsConsent extends Hooks {
  override missing(call: PoolCall): PoolReply | null {
    return okReply(call);
  }
}

/** Calls with old epochs are carried out by the pools as if they were new. */
class OldCallsObeyed extends Hooks {
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
    return () => {
      for (const one of undo) one();
    };
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
class ExpectedStaysRoutable extends Hooks {
  override performed(pool: PoolHost, call: PoolCall): void {
    if (call.kind !== "expect") return;
    for (const { connection, machine } of pool.wires) {
      if (machine.id === call.machineId && connection?.record?.mode === "expected") connection.record = null;
    }
  }
}

/** The machine hears of its order as soon as it is made. */
class OrderBeforeExpect extends Hooks {
  override calling(pool: PoolHost, call: PoolCall): void {
    if (call.kind !== "expect") return;
    const { machineId, epoch } = call;
    pool.pool.order(machineId, {
      type: "assign_model",
      model_id: pool.model,
      epoch,
      pools: [pool.model],
      reason: "too early",
      drain_ms: 30_000,
      load_ms: 180_000,
    });
  }
}

/** A provider obeys any order that comes, also one that is older than what it holds. */
class OlderOrdersObeyed extends Hooks {
  /** The epoch an older order had, by the one it was dressed up with. */
  readonly #worn = new Map<number, HeldAssignment["epoch"]>();
  #next = 2 ** 40;

  override install(): () => void {
    const { take, held } = Duty.prototype;
    const worn = this.#worn;
    const dress = (real: HeldAssignment["epoch"]): HeldAssignment["epoch"] => {
      const epoch = epochSchema.parse(this.#next++);
      worn.set(epoch, real);
      return epoch;
    };
    const undo = [
      replace(Duty.prototype, "take", function (this: Duty, order) {
        const holds = held.call(this);
        const real = worn.get(holds.epoch) ?? holds.epoch;
        const isSame = order.epoch === real && order.modelId === holds.modelId;
        if (order.epoch === NEVER_MANAGED || (isSame && real === holds.epoch)) return take.call(this, order);
        return take.call(this, { ...order, epoch: isSame ? holds.epoch : dress(order.epoch) });
      }),
      replace(Duty.prototype, "held", function (this: Duty) {
        const holds = held.call(this);
        return { ...holds, epoch: worn.get(holds.epoch) ?? holds.epoch };
      }),
    ];
    return () => {
      for (const one of undo) one();
    };
  }

  override saved(_machine: MachineHost, held: HeldAssignment): HeldAssignment {
    return { ...held, epoch: this.#worn.get(held.epoch) ?? held.epoch };
  }

  override fromAgent(text: string): string {
    return text.replaceAll(/"epoch":(\d+)/g, (whole: string, epoch: string) => {
      const real = this.#worn.get(Number(epoch));
      return real === undefined ? whole : `"epoch":${real}`;
    });
  }
}

/** Whoever dials cuts off the machine whose name it uses. */
class UpgradeSupersedes extends Hooks {
  override accepting(pool: PoolHost, wire: Wire): void {
    for (const older of pool.wires) {
      if (older === wire || older.machine !== wire.machine) continue;
      const { connection } = older;
      older.closeFromPool("superseded");
      if (connection !== null) pool.pool.disconnected(connection, connection.lastMessageAt);
    }
  }
}

class DeadlinesNeverEnd extends Hooks {
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
class NoReloadAfterRegister extends Hooks {
  override install(): () => void {
    const { observe } = Assignments.prototype;
    const undo = [
      replace(Assignments.prototype, "reloadAfterRegister", () => {}),
      replace(Assignments.prototype, "observe", function (this: Assignments, id, held, loaded, now) {
        if (this.get(id)?.mode !== "assigned") observe.call(this, id, held, loaded, now);
      }),
    ];
    return () => {
      for (const one of undo) one();
    };
  }
}

/** A heartbeat with the right model in memory revives a failed assignment. */
class HeartbeatRevives extends Hooks {
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
class StatusesFitted extends Hooks {
  override toPool(pool: PoolHost, wire: Wire, text: string): string {
    const record = pool.record(wire.machine.id);
    if (record === null || !text.startsWith('{"type":"assign_model_status"')) return text;
    const decoded = decodeUpstream(text);
    if (!decoded.ok || decoded.value.type !== "assign_model_status") return text;
    return encodeUpstream({ ...decoded.value, model_id: pool.model, epoch: record.epoch });
  }
}

/** A switch does not look whether another one has taken over, and goes on to unload what it finds. */
class CancelledSwitchUnloads extends Hooks {
  override install(): () => void {
    const { throwIfAborted } = AbortSignal.prototype;
    return replace(AbortSignal.prototype, "throwIfAborted", function (this: AbortSignal) {
      const isSwitch = this.reason instanceof EngineError && this.reason.message === SUPERSEDED;
      if (!isSwitch) throwIfAborted.call(this);
    });
  }
}

/** How the provider words that a newer order has taken over from a switch. */
const SUPERSEDED = "this machine switches to another model";

/** A pool that wakes up has forgotten its records. */
class RecordsForgotten extends Hooks {
  override records(disk: MemoryRecordStore): RecordStore {
    disk.records.clear();
    return disk;
  }
}

/** A managed machine that comes back is treated like one that nobody has a claim to. */
class ManagedComesBackUnmanaged extends Hooks {
  override verdict(verdict: DialVerdict): DialVerdict {
    return verdict.ok ? { ...verdict, stamp: asUnmanaged(verdict.stamp) } : verdict;
  }

  override admission(admission: Admission): Admission {
    return admission.admitted ? { ...admission, stamp: asUnmanaged(admission.stamp) } : admission;
  }
}

function asUnmanaged(stamp: Stamp): Stamp {
  return stamp.mode === "unknown" ? stamp : { ...stamp, mode: "unmanaged" };
}

export const MUTATIONS: Readonly<Record<string, () => Hooks>> = {
  cordon: () => new CordonsOfSockets(),
  "cordon-order": () => new LastWordCounts(),
  F3: () => new StatusesFitted(),
  F14: () => new CancelledSwitchUnloads(),
  D1: () => new RecordsForgotten(),
  D2: () => new ManagedComesBackUnmanaged(),
  "D1-unread": () => new UnreadOrdersLeft(),
  H1: () => new ReleaseOnlyTheConnected(),
  "H1-deleted": () => new DeletedAtOnce(),
  H22: () => new AnybodysMachine(),
  "H1-order": () => new ExpectBeforeRelease(),
  H2: () => new StampsIgnored(),
  H3: () => new SilenceIsConsent(),
  H4: () => new OldCallsObeyed(),
  H5: () => new ExpectedStaysRoutable(),
  H6: () => new OrderBeforeExpect(),
  H9: () => new OlderOrdersObeyed(),
  H11: () => new UpgradeSupersedes(),
  H13: () => new DeadlinesNeverEnd(),
  H14: () => new NoReloadAfterRegister(),
  H15: () => new HeartbeatRevives(),
};
