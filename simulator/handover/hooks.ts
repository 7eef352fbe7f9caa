import type { DialVerdict } from "../../core/fleet/admissions.ts";
import type { Admission, AdmissionQuestion } from "../../core/pool/admission.ts";
import type { PoolCall, PoolReply } from "../../core/pool/calls.ts";
import type { CordonStore } from "../../core/pool/cordons.ts";
import type { RecordStore, Stamp } from "../../core/pool/record.ts";
import type { HeldAssignment } from "../../provider/src/agent/assignment.ts";
import type { MachineHost } from "./machine-host.ts";
import type { PoolHost } from "./pool-host.ts";
import type { MemoryRecordStore } from "./stores.ts";
import type { Wire } from "./wire.ts";

/** The points between the parts of the system where a mutation can interfere. The methods here change nothing. */
export class Hooks {
  /** Whether operators also delete machines. That changes what a seed plays, so the named seeds run without it. */
  readonly deletesMachines: boolean = false;

  /** Whether rare faults happen too. This also changes what a seed plays. */
  readonly hasRareFaults: boolean = false;

  /** What a provider's disk stores when it saves an assignment. */
  saved(_machine: MachineHost, held: HeldAssignment): HeldAssignment {
    return held;
  }

  /** The records that a pool finds when it starts. */
  records(disk: MemoryRecordStore): RecordStore {
    return disk;
  }

  cordons(disk: CordonStore): CordonStore {
    return disk;
  }

  /** A text frame that the provider sends. */
  fromAgent(text: string): string {
    return text;
  }

  /** A text frame that the pool receives. */
  toPool(_pool: PoolHost, _wire: Wire, text: string): string {
    return text;
  }

  /** The fleet is about to call a pool. */
  calling(_pool: PoolHost, _call: PoolCall): void {}

  /** A fake reply instead of calling the pool; null to call it. */
  fake(_pool: PoolHost, _call: PoolCall): PoolReply | null {
    return null;
  }

  /** A fake reply for a call that got none; null for none. */
  missing(_call: PoolCall): PoolReply | null {
    return null;
  }

  /** A pool has executed a call. */
  performed(_pool: PoolHost, _call: PoolCall): void {}

  /** The fleet's stamp that reaches the pool with the upgrade. */
  stamp(stamp: Stamp): Stamp {
    return stamp;
  }

  /** A pool is about to accept a socket. */
  accepting(_pool: PoolHost, _wire: Wire): void {}

  verdict(verdict: DialVerdict): DialVerdict {
    return verdict;
  }

  admission(admission: Admission): Admission {
    return admission;
  }

  question(question: AdmissionQuestion): AdmissionQuestion {
    return question;
  }

  /** Called before a run. The returned function undoes what it patched. */
  install(): () => void {
    return () => {};
  }
}

/** No mutation, but operators also delete machines. */
export class WithDeletions extends Hooks {
  override readonly deletesMachines: boolean = true;
}

/** No mutation, but deletions and rare faults happen. */
export class WithRareFaults extends WithDeletions {
  override readonly hasRareFaults = true;
}
