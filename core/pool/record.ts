import type { Epoch, MachineId } from "../../protocol/ids.ts";

/**
 * A pool's record of one machine's assignment, kept also without a socket. It is stored before it takes effect, so that a pool
 * continues where it was after hibernation or a restart. A machine without a record was never managed.
 */

export type RecordMode =
  /** May serve here like in any other pool whose model it has. */
  | "unmanaged"
  /** Belongs to another pool, or nowhere yet: no public request, whatever its socket says. A tombstone. */
  | "released"
  /** Belongs here; nothing heard of the order yet. */
  | "expected"
  | "draining"
  | "loading"
  /** Belongs here and holds exactly this model. */
  | "assigned"
  /** Final for the epoch: serves nobody until a newer order. */
  | "failed";

export interface RecordError {
  readonly code: string;
  readonly message: string;
}

export interface PoolRecord {
  readonly machineId: MachineId;
  readonly mode: RecordMode;
  readonly epoch: Epoch;
  /** When the mode was entered, ms since the epoch. */
  readonly since: number;
  /** When the mode ends in `failed`; null if it may last (H13). */
  readonly deadlineAt: number | null;
  readonly terms: Terms;
  /** Of the load, 0 to 1. */
  readonly progress: number;
  readonly error: RecordError | null;
}

/** What an order allows, and how the pool knows the machine while the fleet does not answer (H19). */
export interface Terms {
  /** How long running requests may go on before a switch ends them. */
  readonly drainMs: number;
  readonly loadMs: number;
  readonly publicKey: string;
}

/** Where records are kept. A call returns once the write is certain to survive what this pool does next. */
export interface RecordStore {
  all(): PoolRecord[];
  put(record: PoolRecord): void;
  remove(machineId: MachineId): void;
}

/** The fleet's statement about a dialing machine, as of `epoch`. `unknown`: the fleet did not answer. */
export type Stamp =
  | { readonly mode: "unmanaged" | "released" | "managed"; readonly epoch: Epoch }
  | { readonly mode: "unknown" };

/** A pool's reply to an order about a machine (H4). */
export type Verdict =
  | { readonly ok: true; readonly mode: RecordMode; readonly epoch: Epoch }
  /** The pool's record is newer than the call. */
  | { readonly ok: false; readonly stale: Epoch };

export function isManaged(mode: RecordMode): boolean {
  return mode !== "unmanaged" && mode !== "released";
}
