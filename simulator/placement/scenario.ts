import { BadInput } from "./bad-input.ts";
import { speedOf, type FleetFile } from "./fleet-file.ts";
import { type Outage, outagesOf } from "./outages.ts";
import { randomFrom } from "./random.ts";
import type { Trace } from "./trace.ts";

/**
 * Everything that is the same for all policies: the demand in machine units, the machines, and what goes wrong when.
 * Demand is scaled once, over the whole trace, so that each model has its share of `load` × capacity on average; a
 * cut to some days comes after, so the days of one week stay comparable.
 */
export interface Machine {
  readonly name: string;
  readonly fleetClass: number;
  /** Machine units per model; 0 where the model does not fit. */
  readonly speeds: readonly number[];
}

export interface Model {
  readonly id: string;
  readonly floor: number;
  readonly cap: number;
  readonly priority: number;
  /** Part of the mean demand; all add up to 1. */
  readonly share: number;
}

export interface Scenario {
  readonly machines: readonly Machine[];
  readonly models: readonly Model[];
  /** Per minute and model, in machine units. */
  readonly demand: readonly (readonly number[])[];
  readonly start_s: number;
  readonly switchSeconds: number;
  /** What a switch costs in whole minutes. */
  readonly switchMinutes: number;
  readonly requestsPerMinute: number;
  readonly load: number;
  readonly observe: FleetFile["observe"];
  readonly loadFailures: number;
  readonly outages: readonly Outage[];
  readonly seed: number;
}

export interface Days {
  readonly first: number;
  readonly last: number;
}

/** Minutes of the replay, both included. */
export interface Window {
  readonly first: number;
  readonly last: number;
}

/** A minute on average: each one that is served is counted, which takes its time. */
const REQUESTS_MAX = 1_000_000;

export function scenarioOf(trace: Trace, fleet: FleetFile, seed: number, days?: Days): Scenario {
  const machines = machinesOf(fleet);
  const shares = fleet.models.reduce((sum, model) => sum + model.share, 0);
  const models = fleet.models.map((model) => ({
    id: model.id,
    floor: model.floor,
    cap: model.cap ?? machines.length,
    priority: model.priority,
    share: model.share / shares,
  }));
  const load = fleet.load * capacityOf(machines);
  const perMinute = load * fleet.machine_requests_per_minute;
  if (perMinute > REQUESTS_MAX) {
    throw new BadInput(
      `With this load there are ${Math.round(perMinute)} requests a minute, more than ${REQUESTS_MAX}: ` +
        'are "load" and "machine_requests_per_minute" right?',
    );
  }
  const factors = models.map(({ id, share }) => factorOf(trace, id, share * load));
  const from = (days?.first ?? 0) * 1440;
  const counts = trace.counts.slice(from, days ? (days.last + 1) * 1440 : undefined);
  if (counts.length === 0)
    throw new BadInput(`The trace has only ${trace.counts.length} minutes, none in those days.`);
  const demand = counts.map((row) => factors.map(({ column, factor }) => (row[column] ?? 0) * factor));
  if (demand.every((row) => row.every((wanted) => wanted === 0)))
    throw new BadInput("The trace has no request for any of the models in those days.");
  return {
    machines,
    models,
    demand,
    start_s: trace.start_s + from * 60,
    switchSeconds: fleet.switch_seconds,
    switchMinutes: Math.ceil(fleet.switch_seconds / 60),
    requestsPerMinute: fleet.machine_requests_per_minute,
    load: fleet.load,
    observe: fleet.observe,
    loadFailures: fleet.load_failures,
    outages: outagesOf(fleet, machines.length, counts.length, randomFrom(seed)),
    seed,
  };
}

/** A model's column in the trace, and by how much its counts are multiplied so that their mean is what is wanted. */
function factorOf(trace: Trace, id: string, wanted: number): { column: number; factor: number } {
  const column = trace.models.indexOf(id);
  if (wanted === 0) return { column, factor: 0 };
  const mean = trace.counts.reduce((sum, row) => sum + (row[column] ?? 0), 0) / trace.counts.length;
  if (mean > 0) return { column, factor: wanted / mean };
  const [what, remedy] =
    column >= 0
      ? ["all its rows have n = 0", "Give it a share of 0"]
      : [`it has: ${trace.models.join(", ")}`, "Correct its id, or give it a share of 0"];
  throw new BadInput(`The trace has no request for the model "${id}" (${what}). ${remedy}.`);
}

function machinesOf(fleet: FleetFile): Machine[] {
  const machines: Machine[] = [];
  for (const [fleetClass, machine] of fleet.machines.entries()) {
    const { count, memory_gb, chip } = machine;
    const speeds = fleet.models.map((model) => speedOf(machine, model));
    for (let index = 0; index < count; index += 1) {
      machines.push({ name: `${chip}-${memory_gb}gb-${machines.length + 1}`, fleetClass, speeds });
    }
  }
  return machines;
}

/** A machine counts with its best model. */
function capacityOf(machines: readonly Machine[]): number {
  return machines.reduce((sum, machine) => sum + Math.max(...machine.speeds), 0);
}
