import type { PoolMachineReport, PoolReport } from "../pool/report.ts";
import type { Cooldown, Intent, Machine, Switch } from "./machine.ts";

/** All that is known of the fleet at one moment: what the fleet has decided, and what each pool has just reported. */
export interface FleetView {
  readonly now: number;
  readonly machines: readonly Machine[];
  readonly intents: ReadonlyMap<string, Intent>;
  /** By pool; one that did not answer is not among them. */
  readonly reports: ReadonlyMap<string, PoolReport>;
  readonly cooldowns: readonly Cooldown[];
  /** The newest first. */
  readonly switches: readonly Switch[];
  /** Ids of the catalog, in its order. */
  readonly models: readonly string[];
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
  readonly sockets: readonly { readonly pool: string; readonly report: PoolMachineReport }[];
  readonly loadedModels: readonly string[];
  readonly inFlight: number;
}

export function viewMachine(view: FleetView, machine: Machine): MachineView {
  const intent = view.intents.get(machine.machineId) ?? null;
  const sockets: { pool: string; report: PoolMachineReport }[] = [];
  let home: PoolMachineReport | null = null;
  for (const [pool, { machines }] of view.reports) {
    const report = machines.find(({ machineId }) => machineId === machine.machineId);
    if (report === undefined) continue;
    if (pool === intent?.model) home = report;
    if (report.isConnected) sockets.push({ pool, report });
  }
  // The pool it belongs to hears the newest of it.
  const newest = home?.isConnected === true ? home : sockets[0]?.report;
  return {
    machine,
    intent,
    ...stateOf(machine, intent, home, sockets.length > 0),
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
): { state: MachineState; since: number } {
  if (!isConnected) return { state: "offline", since: machine.registeredAt };
  if (intent === null || intent.model === null) {
    return { state: "unmanaged", since: intent?.phaseAt ?? machine.registeredAt };
  }
  const record = home?.record;
  if (record?.epoch !== intent.epoch) return { state: "expected", since: intent.phaseAt };
  // The order has not arrived there yet.
  const state = record.mode === "released" || record.mode === "unmanaged" ? "expected" : record.mode;
  return { state, since: record.since };
}
