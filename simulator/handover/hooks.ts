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

/** Where a mutation takes hold of the way between the parts. These do nothing. */
export class Hooks {
  /** Whether operators also delete machines. A seed plays something else then, so those with a name play without it. */
  readonly deletesMachines: boolean = false;

  /** Whether also happens what happens seldom; the same goes for it. */
  readonly hasRareTroubles: boolean = false;

  /** What a provider's disk keeps of what is written. */
  saved(_machine: MachineHost, held: HeldAssignment): HeldAssignment {
    return held;
  }

  /** The disk that a pool finds when it wakes. */
  records(disk: MemoryRecordStore): RecordStore {
    return disk;
  }

  cordons(disk: CordonStore): CordonStore {
    return disk;
  }

  /** A text frame as the provider puts it on the wire. */
  fromAgent(text: string): string {
    return text;
  }

  /** A text frame as the pool gets it. */
  toPool(_pool: PoolHost, _wire: Wire, text: string): string {
    return text;
  }

  /** The fleet is about to call a pool. */
  calling(_pool: PoolHost, _call: PoolCall): void {}

  /** A reply made up without asking the pool; null to ask it. */
  fake(_pool: PoolHost, _call: PoolCall): PoolReply | null {
    return null;
  }

  /** A reply made up because none came; null for none. */
  missing(_call: PoolCall): PoolReply | null {
    return null;
  }

  /** A pool has carried out a call. */
  performed(_pool: PoolHost, _call: PoolCall): void {}

  /** The fleet's word as it reaches the pool with the upgrade. */
  stamp(stamp: Stamp): Stamp {
    return stamp;
  }

  /** A pool is about to take in a socket. */
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

  /** Before a run; what it changes for good is undone by the returned function. */
  install(): () => void {
    return () => {};
  }
}

/** Nothing is taken away, and operators delete machines. */
export class WithDeletions extends Hooks {
  override readonly deletesMachines: boolean = true;
}

/** And everything happens that there is. */
export class WithRareTroubles extends WithDeletions {
  override readonly hasRareTroubles = true;
}
