import type { MachineId } from "../../protocol/ids.ts";
import type { AdmissionQuestion } from "./admission.ts";
import type { HeldAssignment } from "./assignments.ts";
import type { Proof } from "./attestation.ts";
import type { Connection } from "./connection.ts";
import type { CordonStore } from "./cordons.ts";
import type { LedgerMemory } from "./ledger.ts";
import type { RequestOutcome } from "./outcome.ts";
import type { RecordStore } from "./record.ts";
import type { RecordReport } from "./report.ts";
import type { PoolSettings } from "./settings.ts";

/** The ports of a pool: its effects on the outside, and its stores. */

/** A pool's notifications to the fleet. A lost one is repaired by the fleet's next tick, which reads the records (H13). */
export type PoolNews =
  | {
      readonly kind: "record";
      readonly machineId: MachineId;
      readonly record: RecordReport;
      /** How long the load took that has just ended well; null if none has. */
      readonly loadMs: number | null;
    }
  /** The machine says that it holds this now. */
  | { readonly kind: "holds"; readonly machineId: MachineId; readonly held: HeldAssignment }
  /** The machine has said that it stops, and then closed its socket: nobody need look for a fault. */
  | { readonly kind: "left"; readonly machineId: MachineId; readonly sessionId: string }
  /** More is asked of the pool than the fleet knows. */
  | { readonly kind: "demand" };

export interface PoolPorts {
  /** Asks the fleet; the shell brings the answer to `admitted`, or calls `fleetSilent`. */
  askFleet(connection: Connection, question: AdmissionQuestion): void;
  tellFleet(news: PoolNews): void;
  /** Asks the fleet how many machines could serve this model; the answer comes with `configure`, or not at all. */
  askSupply(): void;
  /** A request has ended, once for each. */
  ended(outcome: RequestOutcome): void;
  readonly records: RecordStore;
  readonly cordons: CordonStore;
  saveSettings(settings: PoolSettings): void;
  /** Keeps across restarts which machines are here; those missing afterwards are waited for (H19). */
  rememberMachine(machineId: MachineId): void;
  forgetMachine(machineId: MachineId): void;
  /** Unguessable, another each time. */
  nonce(): string;
  /** Checks what a machine answered to a challenge; the shell brings the verdict to `judged`. */
  verifyProof(connection: Connection, proof: Proof): void;
  /** From 0 up to, but not including, 1; another each time. */
  random(): number;
}

/**
 * Sockets that survived hibernation and were not restored yet. Restoring thousands takes longer than answering a request, for
 * which a few are enough, so they are restored only as far as needed.
 */
export interface Sleepers {
  hasMore(): boolean;
  /** Restores some of them. */
  wakeSome(): void;
}

export const NO_SLEEPERS: Sleepers = { hasMore: () => false, wakeSome: () => {} };

/** The state that an earlier instance of the pool has stored. */
export interface PoolMemory {
  readonly sleepers: Sleepers;
  /**
   * Machines that were connected, as it is kept now; those that do not come back with a socket of their own are waited for.
   * Asked for once, when it first matters who is missing, and by then the first request has mostly been answered.
   */
  readonly remembered: () => readonly MachineId[];
  readonly settings: PoolSettings;
  readonly ledger: LedgerMemory;
}
