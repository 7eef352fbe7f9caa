import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { trustNow, type TrustLevel } from "./attestation.ts";
import type { Connection } from "./connection.ts";
import type { Cordons } from "./cordons.ts";
import type { DemandTotals } from "./demand.ts";
import { failsOpen, freeSlots, isLoaded, routableGate, type GateReason } from "./gate.ts";
import type { PoolRecord, RecordMode } from "./record.ts";
import type { MachineSpeed, Speeds } from "./speeds.ts";

/** A pool's report to the fleet, also shown to operators. */

export interface PoolMachineReport {
  readonly machineId: string;
  readonly isConnected: boolean;
  readonly isCordoned: boolean;
  readonly version: string | null;
  /** What it has proven on its socket, as far as that still counts. */
  readonly trust: TrustLevel;
  /** What was wrong with its last answer to a challenge; null if nothing was, or if it gave none. */
  readonly trustProblem: string | null;
  readonly loadedModels: readonly string[];
  readonly maxConcurrency: number;
  readonly decodeTps: number | null;
  readonly prefillTps: number | null;
  /** What one request may take up on it, in tokens; null if it does not say. */
  readonly contextLength: number | null;
  /** What the pool has measured of it; null before its first answer. */
  readonly speed: MachineSpeed | null;
  /** Why no public request may go to it; null if it is routable. */
  readonly blockedBy: GateReason | "offline" | null;
  readonly loaded: boolean;
  readonly inFlight: number;
  readonly freeSlots: number;
  /** Null for a machine that was never managed. */
  readonly record: RecordReport | null;
}

export interface RecordReport {
  readonly mode: RecordMode;
  readonly epoch: number;
  readonly since: number;
  readonly progress: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

export interface PoolReport {
  readonly model: string;
  readonly machines: readonly PoolMachineReport[];
  readonly inFlight: number;
  readonly queued: number;
  /** Machines that were here a moment ago may be back: requests wait for them and are not refused (H19). */
  readonly isExpectingMachines: boolean;
  /** How long a request held its slot on average within the last minute, where the model was loaded; null if none has. */
  readonly holdMs: number | null;
  /** How soon the first token of a chat came of late, the median; null if there was none. */
  readonly firstTokenMs: number | null;
  /** Over all lives of the pool. */
  readonly demand: DemandTotals;
  /** Version of the fleet's settings that it goes by. */
  readonly settingsVersion: number;
  /** What providers sent and the pool dropped, by kind, since the pool woke. */
  readonly ignored: {
    readonly records: number;
    readonly messages: number;
    readonly statuses: number;
    readonly unknownTypes: number;
  };
}

/** What a pool knows of machines beside their sockets. */
interface Known {
  readonly records: Iterable<PoolRecord>;
  readonly cordons: Pick<Cordons, "has">;
  readonly speeds: Speeds;
}

export function reportMachines(
  model: ModelId,
  connections: Iterable<Connection>,
  { records, cordons, speeds }: Known,
  slotsPerMachine: number,
  now: number,
): PoolMachineReport[] {
  const machines = new Map<string, PoolMachineReport>();
  // Only these records say how far a load is: the one that a connection carries dates from its last change of mode.
  for (const record of records) {
    machines.set(record.machineId, offline(record, cordons.has(record.machineId)));
  }
  const all = [...connections];
  const asker = failsOpen(all, model, now) ? "last_resort" : "public";
  for (const connection of all) {
    const { registration } = connection;
    machines.set(connection.identity.machineId, {
      machineId: connection.identity.machineId,
      isConnected: true,
      isCordoned: connection.isCordoned,
      version: registration?.version ?? null,
      trust: trustNow(connection.trust, now),
      trustProblem: connection.trust.problem,
      loadedModels: registration?.loadedModels ?? [],
      maxConcurrency: registration?.maxConcurrency ?? 0,
      decodeTps: registration?.decodeTps ?? null,
      prefillTps: registration?.prefillTps ?? null,
      contextLength: registration?.contextLength ?? null,
      speed: speeds.get(connection.identity.machineId),
      blockedBy: routableGate(connection, model, now, asker),
      loaded: isLoaded(connection, model),
      inFlight: connection.attempts.size,
      freeSlots: Math.max(0, freeSlots(connection, slotsPerMachine, asker)),
      record: machines.get(connection.identity.machineId)?.record ?? null,
    });
  }
  return [...machines.values()];
}

/** The machines that a public request may go to, whether busy or not: those of the report that nothing blocks. */
export function routableMachines(
  model: ModelId,
  connections: Iterable<Connection>,
  now: number,
): MachineId[] {
  const all = [...connections];
  const asker = failsOpen(all, model, now) ? "last_resort" : "public";
  return all
    .filter((connection) => routableGate(connection, model, now, asker) === null)
    .map(({ identity }) => identity.machineId);
}

function offline(record: PoolRecord, isCordoned: boolean): PoolMachineReport {
  return {
    machineId: record.machineId,
    isConnected: false,
    isCordoned,
    version: null,
    trust: "none",
    trustProblem: null,
    loadedModels: [],
    maxConcurrency: 0,
    decodeTps: null,
    prefillTps: null,
    contextLength: null,
    speed: null,
    blockedBy: "offline",
    loaded: false,
    inFlight: 0,
    freeSlots: 0,
    record: reportRecord(record),
  };
}

export function reportRecord({ mode, epoch, since, progress, error }: PoolRecord): RecordReport {
  return { mode, epoch, since, progress, error };
}
