import type { MachineId } from "../../protocol/ids.ts";
import type { PoolMachineReport, PoolReport } from "../pool/report.ts";
import type { Cooldown, Intent, Machine, Switch } from "./machine.ts";

/** A snapshot of the fleet: its decisions, and the current reports of the pools. */
export interface FleetView {
  readonly now: number;
  readonly machines: readonly Machine[];
  readonly intents: ReadonlyMap<string, Intent>;
  /** By pool; one that did not answer is not among them. */
  readonly reports: ReadonlyMap<string, PoolReport>;
  /** What each pool says of each machine, by machine. */
  readonly sightings: ReadonlyMap<string, readonly Sighting[]>;
  readonly cooldowns: readonly Cooldown[];
  /** The newest first. */
  readonly switches: readonly Switch[];
  /** Ids of the catalog, in its order. */
  readonly models: readonly string[];
  /** Tokens that a request to the model may have, by the catalog; null for one that is not there. */
  contextOf(model: string): number | null;
  /** Looked up where it matters: every token that was ever revoked is kept. */
  isRevoked(tokenId: string): boolean;
  /** Whether two programs run under the machine's id. */
  isContested(machineId: MachineId): boolean;
}

export interface Sighting {
  readonly pool: string;
  readonly report: PoolMachineReport;
}

/**
 * The reports' entries by machine, so that no caller has to search all reports. Sorted by pool and not by the order of the
 * answers, so that two snapshots can be compared.
 */
export function sightingsIn(reports: ReadonlyMap<string, PoolReport>): Map<string, Sighting[]> {
  const sightings = new Map<string, Sighting[]>();
  const byName = [...reports].toSorted(([one], [other]) => (one < other ? -1 : 1));
  for (const [pool, { machines }] of byName) {
    for (const report of machines) {
      const known = sightings.get(report.machineId);
      if (known === undefined) sightings.set(report.machineId, [{ pool, report }]);
      else known.push({ pool, report });
    }
  }
  return sightings;
}

export type MachineState =
  | "unmanaged"
  | "expected"
  | "draining"
  | "loading"
  | "assigned"
  | "failed"
  | "offline";

/** One machine, put together from the directory and the pools' reports. */
export interface MachineView {
  readonly machine: Machine;
  readonly intent: Intent | null;
  readonly state: MachineState;
  /** When the state was entered, ms since the epoch. */
  readonly since: number;
  /** What the pool it belongs to says; null without an assignment, or if the pool has no word on it. */
  readonly home: PoolMachineReport | null;
  /** The pools that hold a socket of it, with what they say. */
  readonly sockets: readonly Sighting[];
  readonly loadedModels: readonly string[];
  readonly inFlight: number;
}

export function viewMachine(view: FleetView, machine: Machine): MachineView {
  const intent = view.intents.get(machine.machineId) ?? null;
  const seen = view.sightings.get(machine.machineId) ?? [];
  const home = seen.find(({ pool }) => pool === intent?.model)?.report ?? null;
  const sockets = seen.filter(({ report }) => report.isConnected);
  // The machine's own pool has the newest information.
  const newest = home?.isConnected === true ? home : sockets[0]?.report;
  return {
    machine,
    intent,
    ...stateOf(machine, intent, home, sockets.length > 0, view.now),
    home,
    sockets,
    loadedModels: newest?.loadedModels ?? [],
    inFlight: sockets.reduce((sum, { report }) => sum + report.inFlight, 0),
  };
}

function stateOf(
  machine: Machine,
  intent: Intent | null,
  home: PoolMachineReport | null,
  isConnected: boolean,
  now: number,
): { state: MachineState; since: number } {
  if (!isConnected) return { state: "offline", since: machine.goneAt ?? now };
  if (intent === null || intent.model === null) {
    return { state: "unmanaged", since: intent?.phaseAt ?? machine.registeredAt };
  }
  const record = home?.record;
  if (record?.epoch !== intent.epoch) return { state: "expected", since: intent.phaseAt };
  // The order has not arrived there yet.
  const state = record.mode === "released" || record.mode === "unmanaged" ? "expected" : record.mode;
  return { state, since: record.since };
}
