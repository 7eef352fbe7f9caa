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

/** The world around a pool: what it asks for, tells and has kept. */

/** What a pool tells the fleet unasked. A lost one is made good by the fleet's next look at the records (H13). */
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
 * The sockets that have slept with the pool. To wake thousands takes longer than to answer a request, for which a few will do,
 * so they are woken only as far as it matters who is here.
 */
export interface Sleepers {
  hasMore(): boolean;
  /** Connects some of them. */
  wakeSome(): void;
}

export const NO_SLEEPERS: Sleepers = { hasMore: () => false, wakeSome: () => {} };

/** What an earlier life of the pool has left. */
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
