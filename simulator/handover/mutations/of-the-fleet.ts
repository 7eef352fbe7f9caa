import type { DialVerdict } from "../../../core/fleet/admissions.ts";
import { ControlPlane } from "../../../core/fleet/control-plane.ts";
import { DialPolicy } from "../../../core/fleet/dial-policy.ts";
import { Handover, NOT_UNDERSTOOD } from "../../../core/fleet/handover.ts";
import type { Admission } from "../../../core/pool/admission.ts";
import type { PoolCall, PoolReply } from "../../../core/pool/calls.ts";
import type { Stamp } from "../../../core/pool/record.ts";
import { Hooks, WithRareFaults } from "../hooks.ts";
import type { PoolHost } from "../pool-host.ts";
import { all, replace } from "./replace.ts";

/** Rules that the fleet keeps, each taken away. */

function okReply(call: PoolCall): PoolReply | null {
  if (call.kind !== "release") return null;
  return { kind: "verdict", verdict: { ok: true, mode: "released", epoch: call.epoch } };
}

/** A pool that the machine is not connected to is not asked to let go: that it has no socket passes for its word. */
export class ReleaseOnlyTheConnected extends Hooks {
  override fake(pool: PoolHost, call: PoolCall): PoolReply | null {
    if (call.kind !== "release") return null;
    const isConnected = [...pool.wires].some(({ machine }) => machine.id === call.machineId);
    return isConnected ? null : okReply(call);
  }
}

/** The target is told to expect the machine at once, whoever has not let go yet. */
export class ExpectBeforeRelease extends Hooks {
  override fake(_pool: PoolHost, call: PoolCall): PoolReply | null {
    return okReply(call);
  }
}

/** A deleted machine is struck from the fleet's books at once, whatever its pools still have in theirs. */
export class DeletedAtOnce extends Hooks {
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
export class AnybodysMachine extends WithRareFaults {
  override install(): () => void {
    const undo = [
      replace(DialPolicy.prototype, "whyNotDial", () => null),
      replace(DialPolicy.prototype, "whyNotRegister", () => null),
    ];
    return all(undo);
  }
}

/** An order that a later version has written is left as it is. */
export class UnreadOrdersLeft extends WithRareFaults {
  override install(): () => void {
    const { begin } = Handover.prototype;
    return replace(Handover.prototype, "begin", function (this: Handover, wish, now, above) {
      return wish.reason === NOT_UNDERSTOOD ? null : begin.call(this, wish, now, above);
    });
  }
}

/** A reply that has not come passes for a good one. */
export class SilenceIsConsent extends Hooks {
  override missing(call: PoolCall): PoolReply | null {
    return okReply(call);
  }
}

/** The machine hears of its order as soon as it is made. */
export class OrderBeforeExpect extends Hooks {
  override calling(pool: PoolHost, call: PoolCall): void {
    if (call.kind !== "expect") return;
    const { machineId, epoch } = call;
    pool.pool.orders.passOn(machineId, {
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

/** A managed machine that comes back is treated like one that nobody has a claim to. */
export class ManagedComesBackUnmanaged extends Hooks {
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
