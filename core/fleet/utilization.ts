import type { Flags } from "../flags.ts";
import { lowest, type TrustLevel } from "../pool/attestation.ts";
import type { PoolMachineReport } from "../pool/report.ts";
import { explainView, type Explanation } from "./explain.ts";
import { viewMachine, type FleetView, type MachineState, type MachineView } from "./fleet-view.ts";
import type { RefusedDial } from "./refused-dials.ts";

/** The report of all pools (C20), in the shape of `GET /v1/admin/utilization`. */

export interface Utilization {
  readonly at: number;
  readonly model_pools: {
    readonly assignment_gate: Flags["assignment_gate"];
    readonly placement: Flags["placement"];
    readonly pools: readonly PoolRow[];
    readonly machines: readonly ExplainedRow[];
    /** Machines with more than one model in memory; more than 0 is a defect. */
    readonly co_resident_machines: number;
    readonly last_switches: readonly SwitchRow[];
    /** Pools that did not answer, so that their numbers are missing. */
    readonly unreachable_pools: readonly string[];
    /** Dials of the last minutes to models that are in no catalog, the latest first. */
    readonly refused_dials: readonly RefusedDialRow[];
  };
}

interface PoolRow {
  readonly model_id: string;
  /** Machines that placement or an operator wants there. */
  readonly desired: number;
  /** Machines that it is to keep without demand, by the catalog. */
  readonly floor: number;
  readonly serving: number;
  readonly loading: number;
  readonly draining: number;
  readonly failed: number;
  readonly unmanaged: number;
  readonly in_flight: number;
  readonly queued: number;
  readonly free_slots: number;
}

export interface MachineRow {
  readonly machine_id: string;
  readonly owner: string;
  /** Of the provider token that it last registered with; null if it did so before that was kept. */
  readonly token_id: string | null;
  readonly managed: boolean;
  readonly assigned_model: string | null;
  readonly epoch: number;
  readonly state: MachineState;
  readonly state_age_ms: number;
  /** An operator keeps requests away from it. */
  readonly cordoned: boolean;
  readonly loaded_models: readonly string[];
  readonly in_flight: number;
  readonly pools: readonly string[];
  readonly hardware: string;
  readonly memory_gb: number;
  /** Of one stream, as its pool has measured it, else as it says; null if neither knows. */
  readonly decode_tps: number | null;
  /** What one request may take up there, in tokens, of the model it is assigned or has loaded; null if it does not say. */
  readonly context_length: number | null;
  /** What it has proven on each of its sockets. */
  readonly trust_level: TrustLevel;
  /** What was wrong with its last answer to a challenge; null if nothing was, or if it gave none. */
  readonly trust_problem: string | null;
}

interface ExplainedRow extends MachineRow {
  readonly explanation: Explanation;
}

interface SwitchRow {
  readonly at: number;
  readonly machine_id: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly epoch: number;
  readonly reason: string;
  readonly outcome: string;
  readonly error: string | null;
  readonly took_ms: number;
}

interface RefusedDialRow {
  readonly machine_id: string;
  readonly owner: string;
  readonly model_id: string;
  readonly at: number;
}

/**
 * @param desired machines that placement wants each model to hold; null while it decides nothing.
 * @param floors of the models that have one.
 */
export function utilization(
  view: FleetView,
  flags: Flags,
  desired: ReadonlyMap<string, number> | null,
  floors: ReadonlyMap<string, number>,
  refusedDials: readonly RefusedDial[],
): Utilization {
  const machines = view.machines.map((machine) => viewMachine(view, machine));
  return {
    at: view.now,
    model_pools: {
      assignment_gate: flags.assignment_gate,
      placement: flags.placement,
      pools: view.models.map((model) => ({
        ...poolRow(view, machines, model, desired?.get(model) ?? null),
        floor: floors.get(model) ?? 0,
      })),
      machines: machines.map((machine) => ({
        ...machineRow(machine, view.now),
        explanation: explainView(view, machine, flags),
      })),
      co_resident_machines: machines.filter(({ loadedModels }) => loadedModels.length > 1).length,
      last_switches: view.switches.map((entry) => ({
        at: entry.at,
        machine_id: entry.machineId,
        from: entry.from,
        to: entry.to,
        epoch: entry.epoch,
        reason: entry.reason,
        outcome: entry.outcome,
        error: entry.error,
        took_ms: entry.tookMs,
      })),
      unreachable_pools: view.models.filter((model) => !view.reports.has(model)),
      refused_dials: refusedDials.map(({ machineId, owner, model, at }) => ({
        machine_id: machineId,
        owner,
        model_id: model,
        at,
      })),
    },
  };
}

function poolRow(
  view: FleetView,
  machines: readonly MachineView[],
  model: string,
  desired: number | null,
): Omit<PoolRow, "floor"> {
  const report = view.reports.get(model);
  const own = machines.filter(({ intent }) => intent?.model === model);
  const count = (state: MachineState): number => own.filter((machine) => machine.state === state).length;
  const here = report?.machines ?? [];
  const routable = new Set(
    here.filter(({ blockedBy }) => blockedBy === null).map(({ machineId }) => machineId),
  );
  return {
    model_id: model,
    // Without placement what operators have ordered is what is wanted.
    desired: desired ?? own.length,
    serving: own.filter(({ state, machine }) => state === "assigned" && routable.has(machine.machineId))
      .length,
    loading: count("loading"),
    draining: count("draining"),
    failed: count("failed"),
    unmanaged: machines.filter(
      ({ intent, machine }) => (intent?.model ?? null) === null && routable.has(machine.machineId),
    ).length,
    in_flight: report?.inFlight ?? 0,
    queued: report?.queued ?? 0,
    free_slots: here.reduce((sum, { blockedBy, freeSlots }) => sum + (blockedBy === null ? freeSlots : 0), 0),
  };
}

export function machineRow(view: MachineView, now: number): MachineRow {
  const { machine, intent, home, state, since, loadedModels, inFlight, sockets } = view;
  const own = home ?? sockets.find(({ report }) => report.loaded)?.report;
  return {
    machine_id: machine.machineId,
    owner: machine.owner,
    token_id: machine.tokenId,
    managed: intent !== null && intent.model !== null,
    assigned_model: intent?.model ?? null,
    epoch: intent?.epoch ?? 0,
    state,
    state_age_ms: Math.max(0, now - since),
    cordoned: machine.cordonedAt !== null,
    loaded_models: loadedModels,
    in_flight: inFlight,
    pools: sockets.map(({ pool }) => pool),
    hardware: machine.hardware.chip_name,
    memory_gb: machine.hardware.memory_gb,
    decode_tps: decodeTps(own),
    context_length: own?.contextLength ?? null,
    trust_level: lowest(sockets.map(({ report }) => report.trust)),
    trust_problem: sockets.find(({ report }) => report.trustProblem !== null)?.report.trustProblem ?? null,
  };
}

function decodeTps(report: PoolMachineReport | undefined): number | null {
  return report?.speed?.decodeTps[0] ?? report?.decodeTps ?? null;
}
