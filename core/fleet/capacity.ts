import { restMs } from "../pool/loads.ts";
import { viewMachine, type FleetView, type MachineView } from "./fleet-view.ts";
import { servedContext } from "./served-context.ts";

/** What clients may know of the pools, in the shape of `GET /v1/models/capacity`: nothing of machines or owners. */

export interface Capacity {
  readonly at: number;
  readonly models: readonly ModelCapacity[];
}

/** A field is null if the pool has not answered. */
export interface ModelCapacity {
  readonly id: string;
  /** Machines that requests could be routed to, busy or not. */
  readonly serving: number | null;
  /** What they can run at once of this pool's requests, as far as others leave room. */
  readonly slots: number | null;
  readonly free_slots: number | null;
  /**
   * The longest request that one of them takes, prompt and answer together, in tokens. Null if none serves, or if one of them
   * does not say: then it is what the catalog says.
   */
  readonly context_length: number | null;
  /** No machine serves it, and none that did is awaited back, or it is shed: a request is refused and does not wait. */
  readonly exhausted: boolean | null;
  readonly queued: number | null;
  /** How soon first tokens came within the last minutes, the median; null if there was none. */
  readonly ttft_p50_ms: number | null;
  /** Machines on their way to it. */
  readonly loading: number;
  /** Until the first of those should serve, by how far its load is; null if none says. */
  readonly eta_s: number | null;
}

/**
 * @param asked the pools that were asked. The others have no machine, so there is nothing to ask.
 * @param shed models that operators have switched off.
 */
export function capacity(view: FleetView, asked: ReadonlySet<string>, shed: readonly string[]): Capacity {
  const machines = view.machines.map((machine) => viewMachine(view, machine));
  const models = view.models.map((model) => {
    const now = modelCapacity(view, machines, model, asked);
    return shed.includes(model) ? { ...now, ...NONE } : now;
  });
  return { at: view.now, models };
}

const NONE = { serving: 0, slots: 0, free_slots: 0, context_length: null, exhausted: true } as const;

const UNKNOWN = {
  serving: null,
  slots: null,
  free_slots: null,
  context_length: null,
  exhausted: null,
  queued: null,
  ttft_p50_ms: null,
} as const;

function modelCapacity(
  view: FleetView,
  machines: readonly MachineView[],
  id: string,
  asked: ReadonlySet<string>,
): ModelCapacity {
  const coming = machines.filter((machine) => machine.intent?.model === id && isComing(machine));
  const etas = coming.map((machine) => etaS(machine, view.now)).filter((eta) => eta !== null);
  const way = { loading: coming.length, eta_s: etas.length === 0 ? null : Math.min(...etas) };
  const report = view.reports.get(id);
  if (report === undefined) {
    return asked.has(id) ? { id, ...UNKNOWN, ...way } : { id, ...NONE, queued: 0, ttft_p50_ms: null, ...way };
  }
  const routable = report.machines.filter(({ blockedBy }) => blockedBy === null);
  const free = routable.reduce((sum, { freeSlots }) => sum + freeSlots, 0);
  return {
    id,
    serving: routable.length,
    slots: routable.reduce((sum, { inFlight }) => sum + inFlight, free),
    free_slots: free,
    context_length: servedContext(report),
    exhausted: routable.length === 0 && !report.isExpectingMachines,
    queued: report.queued,
    // A pool of an earlier version does not say.
    ttft_p50_ms: report.firstTokenMs == null ? null : Math.round(report.firstTokenMs),
    ...way,
  };
}

function isComing({ machine, state }: MachineView): boolean {
  if (machine.cordonedAt !== null) return false;
  return state === "expected" || state === "draining" || state === "loading";
}

function etaS({ state, home }: MachineView, now: number): number | null {
  const record = home?.record;
  if (state !== "loading" || record == null || record.progress <= 0) return null;
  return Math.ceil(restMs(Math.max(0, now - record.since), record.progress) / 1000);
}
