import type { ModelId } from "../../protocol/ids.ts";
import type { Catalog, CatalogEntry } from "../catalog.ts";
import type { Flags } from "../flags.ts";
import { LOAD_TIMEOUT_MS } from "../limits.ts";
import { ownValue } from "../own-value.ts";
import { DEFAULT_PLACEMENT_CONFIG } from "../placement/config.ts";
import { UNSEEN } from "../placement/demand.ts";
import { requestsPerSecond } from "../placement/kinds.ts";
import type { Fitness } from "../placement/types.ts";
import type { DemandRow } from "../pool/demand.ts";
import { viewMachine, type FleetView } from "./fleet-view.ts";
import type { LoadTimes } from "./load-times.ts";
import { placementMachines } from "./placement-input.ts";

/**
 * The fleet in the format of the placement simulator, to replay a day of its own demand: how fast today's machines serve the
 * requests of that day. The fields are those of the fleet file (docs/simulate.md).
 */
export interface ReplayFleet {
  readonly machines: readonly {
    readonly count: number;
    readonly memory_gb: number;
    readonly chip: string;
    /** By model, relative to `machine_requests_per_minute`; 0 where it is not on the disk, does not fit or is too slow. */
    readonly speed: Readonly<Record<string, number>>;
  }[];
  readonly models: readonly {
    readonly id: ModelId;
    readonly share: number;
    readonly size_gb: number;
    readonly min_ram_gb: number;
    readonly floor: number;
    readonly cap: number | null;
    readonly priority: number;
  }[];
  readonly load: number;
  readonly machine_requests_per_minute: number;
  readonly switch_seconds: number;
  readonly observe: "perfect";
}

/** A connected machine that serves everybody, and how it serves each model that it can. */
export interface ReplayMachine {
  readonly memoryGb: number;
  readonly chip: string;
  readonly fits: Readonly<Record<ModelId, Fitness>>;
}

/** What was asked of a model, by minute. */
export interface AskedModel {
  readonly model: ModelId;
  readonly rows: readonly DemandRow[];
}

const MINUTE_MS = 60_000;

export function replayMachines(
  view: FleetView,
  catalog: Catalog,
  flags: Flags,
  loadTimes: LoadTimes,
): ReplayMachine[] {
  const planned = placementMachines(view, catalog, flags, loadTimes);
  return view.machines.flatMap((machine, index): ReplayMachine[] => {
    const { fits = {} } = planned[index] ?? {};
    const { memory_gb, chip_name } = machine.hardware;
    const isEverybodys = viewMachine(view, machine).sockets.length > 0 && !machine.privateOnly;
    return isEverybodys ? [{ memoryGb: memory_gb, chip: chip_name, fits }] : [];
  });
}

/** Machines that serve each model equally fast. */
interface Kind {
  readonly memoryGb: number;
  readonly chip: string;
  /** Requests a minute, by model. */
  readonly rates: ReadonlyMap<ModelId, number>;
  count: number;
}

/** @returns null if nothing was asked of a model that a machine could serve. */
export function replayFleet(
  entries: readonly CatalogEntry[],
  machines: readonly ReplayMachine[],
  asked: readonly AskedModel[],
): ReplayFleet | null {
  const demands = new Map(asked.map(({ model, rows }) => [model, demandOf(rows)]));
  const models = entries.filter(({ id, floor, cap }) => {
    const isWanted = floor > 0 || (demands.get(id)?.requests ?? 0) > 0;
    return isWanted && cap !== 0 && machines.some(({ fits }) => ownValue(fits, id) !== undefined);
  });
  const kinds = kindsOf(machines, models, demands);
  const requests = models.reduce((sum, { id }) => sum + (demands.get(id)?.requests ?? 0), 0);
  const [commonest] = kinds.toSorted((a, b) => b.count - a.count);
  if (commonest === undefined || requests === 0) return null;
  const unit = bestOf(commonest);
  const capacity = kinds.reduce((sum, kind) => sum + kind.count * bestOf(kind), 0);
  return {
    machines: kinds.map(({ count, memoryGb, chip, rates }) => ({
      count,
      memory_gb: memoryGb,
      chip,
      speed: Object.fromEntries(models.map(({ id }) => [id, shortened((rates.get(id) ?? 0) / unit)])),
    })),
    models: models.map(({ id, size_gb, min_ram_gb, floor, cap, priority }) => ({
      id,
      share: demands.get(id)?.requests ?? 0,
      size_gb,
      min_ram_gb,
      floor: Math.min(floor, machines.filter(({ fits }) => ownValue(fits, id) !== undefined).length),
      cap,
      priority,
    })),
    load: shortened(requests / minutesOf(asked) / capacity),
    machine_requests_per_minute: shortened(unit),
    switch_seconds: switchSecondsOf(machines, models),
    observe: "perfect",
  };
}

/** Requests, and what one of them takes on average. */
interface Demand {
  readonly requests: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

function demandOf(rows: readonly DemandRow[]): Demand {
  const sum = (of: (row: DemandRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const requests = sum(({ arrivals }) => arrivals);
  const completed = sum((row) => row.completed);
  return {
    requests,
    promptTokens: requests === 0 ? UNSEEN.promptTokens : sum((row) => row.promptTokens) / requests,
    // One token at least, or a machine would serve them in no time.
    outputTokens:
      completed === 0 ? UNSEEN.outputTokens : Math.max(1, sum((row) => row.completionTokens) / completed),
  };
}

function kindsOf(
  machines: readonly ReplayMachine[],
  models: readonly CatalogEntry[],
  demands: ReadonlyMap<ModelId, Demand>,
): Kind[] {
  const kinds = new Map<string, Kind>();
  for (const { memoryGb, chip, fits } of machines) {
    const rates = new Map<ModelId, number>();
    for (const { id } of models) {
      const [fit, demand] = [ownValue(fits, id), demands.get(id)];
      // Who is slower than the decode floor is not in `fits`.
      if (fit === undefined || demand === undefined) continue;
      rates.set(id, shortened(60 * requestsPerSecond(fit, demand, { decodeFloorTps: 0 })));
    }
    if (rates.size === 0) continue;
    const key = JSON.stringify([memoryGb, chip, ...rates]);
    const known = kinds.get(key);
    if (known === undefined) kinds.set(key, { memoryGb, chip, rates, count: 1 });
    else known.count += 1;
  }
  return [...kinds.values()];
}

function bestOf({ rates }: Kind): number {
  return Math.max(...rates.values());
}

/** From the first minute with a request to the last one, as the trace of the same demand has it. */
function minutesOf(asked: readonly AskedModel[]): number {
  const minutes = asked.flatMap(({ rows }) => rows.filter(({ arrivals }) => arrivals > 0));
  const [first, last] = minutes.reduce<[number, number]>(
    ([least, most], { minuteAt }) => [Math.min(least, minuteAt), Math.max(most, minuteAt)],
    [Infinity, -Infinity],
  );
  return (last - first) / MINUTE_MS + 1;
}

/** One figure stands for all: the median load, and a drain. */
function switchSecondsOf(machines: readonly ReplayMachine[], models: readonly CatalogEntry[]): number {
  const loads = machines
    .flatMap(({ fits }) => models.flatMap(({ id }) => ownValue(fits, id)?.loadSeconds ?? []))
    .toSorted((a, b) => a - b);
  const median = loads[Math.floor(loads.length / 2)] ?? 0;
  return Math.round(DEFAULT_PLACEMENT_CONFIG.drainSeconds + Math.min(median, LOAD_TIMEOUT_MS / 1000));
}

/** Four digits say more than is known. */
function shortened(value: number): number {
  return Number(value.toPrecision(4));
}
