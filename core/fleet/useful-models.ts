import type { Catalog, CatalogEntry } from "../catalog.ts";
import type { Flags } from "../flags.ts";
import { ownValue } from "../own-value.ts";
import { requestsPerSecond } from "../placement/kinds.ts";
import type { Fitness, ModelEstimate, ModelPlan, ModelSupply } from "../placement/types.ts";
import { expectedServed } from "../placement/value.ts";
import { viewMachine, type FleetView, type MachineView } from "./fleet-view.ts";
import type { LoadTimes } from "./load-times.ts";
import type { Machine } from "./machine.ts";
import { fitIn, paceOf, suppliedModel } from "./placement-input.ts";

/**
 * "Which model would be most useful on my Mac?" For each model of the catalog, whether its file is here or not: how many requests an
 * hour the fleet would serve more with this machine holding it than with the machine away. It is the value by which the planner
 * moves machines, so what is said here is what a plan would think of the machine.
 */

export interface UsefulModel {
  readonly model_id: string;
  readonly on_disk: boolean;
  /** The machine holds it, or is on its way to it. */
  readonly holds: boolean;
  /** More than without the machine; null if it cannot hold the model. */
  readonly requests_per_hour: number | null;
  /** Why it cannot, or may not; null if it could. */
  readonly obstacle: string | null;
}

export interface Usefulness {
  /** The most useful first. */
  readonly models: readonly UsefulModel[];
  /** The one change that would help most; null if none would. */
  readonly advice: string | null;
}

/** Of a machine that serves its owner only, and while nothing is known of the demand. */
export const NOTHING_USEFUL: Usefulness = { models: [], advice: null };

/** What is known of the demand for each model, as of the last plan. */
export interface KnownDemand {
  readonly plans: readonly Pick<ModelPlan, "modelId" | "demand" | "deviation">[];
  /** Of which the machine itself is a part, if it serves. What a plan would only move is still where it was. */
  readonly supply: readonly ModelSupply[];
  readonly estimates: Readonly<Record<string, ModelEstimate>>;
  readonly loadTimes: LoadTimes;
}

/** More would be no answer that an owner reads. */
const NAMED_MODELS = 10;

/** Less is not worth a download. */
const LEAST_GAIN_PER_HOUR = 1;

export function usefulModels(
  view: FleetView,
  machine: Machine,
  catalog: Catalog,
  flags: Flags,
  known: KnownDemand,
): Usefulness {
  if (machine.privateOnly || known.supply.length === 0) return NOTHING_USEFUL;
  const seen = viewMachine(view, machine);
  const loadSeconds = known.loadTimes.expected(() => null);
  const pace = paceOf(seen, catalog);
  const supplied = suppliedModel(seen, catalog, view.now);
  const models = catalog.entries.map((entry) => {
    const onDisk = machine.models.find(({ id }) => id === entry.id);
    const claims = onDisk ?? { decodeTps: null, prefillTps: null };
    const fit = fitIn(seen, entry, claims, flags, loadSeconds, pace);
    return usefulModel(seen, entry, fit, entry.id === supplied, known, flags);
  });
  const ranked = models.toSorted(byUse);
  return {
    models: ranked.slice(0, NAMED_MODELS),
    advice: adviceOf(ranked, (seen.intent?.model ?? null) !== null),
  };
}

/** Of equals first what needs the least doing. */
function byUse(one: UsefulModel, other: UsefulModel): number {
  return (
    Number(one.obstacle !== null) - Number(other.obstacle !== null) ||
    (other.requests_per_hour ?? 0) - (one.requests_per_hour ?? 0) ||
    Number(other.holds) - Number(one.holds) ||
    Number(other.on_disk) - Number(one.on_disk) ||
    (one.model_id < other.model_id ? -1 : 1)
  );
}

/** @param isCounted whether the machine is a part of what is known of the supply. */
function usefulModel(
  seen: MachineView,
  entry: CatalogEntry,
  fit: Fitness | null,
  isCounted: boolean,
  { plans, supply, estimates }: KnownDemand,
  flags: Flags,
): UsefulModel {
  const { machine, intent, loadedModels } = seen;
  const holds = (intent?.model ?? loadedModels[0]) === entry.id;
  const row = {
    model_id: entry.id,
    on_disk: machine.models.some(({ id }) => id === entry.id),
    holds,
  };
  if (fit === null) return { ...row, requests_per_hour: null, obstacle: whyNot(machine, entry, flags) };
  const demand = plans.find(({ modelId }) => modelId === entry.id);
  const now = supply.find(({ modelId }) => modelId === entry.id);
  const estimate = ownValue(estimates, entry.id);
  const own = estimate === undefined ? 0 : requestsPerSecond(fit, estimate, { decodeFloorTps: 0 });
  const without = Math.max(0, (now?.capacity ?? 0) - (isCounted ? own : 0));
  const others = (now?.machines ?? 0) - Number(isCounted);
  const isFull = entry.cap !== null && others >= entry.cap;
  return {
    ...row,
    requests_per_hour: demand === undefined || isFull ? 0 : gainPerHour(demand, without, own),
    obstacle: isFull ? "it has as many machines as it may have" : null,
  };
}

/**
 * To a tenth.
 * @param without requests/s that the others can serve
 * @param own requests/s that the machine could
 */
function gainPerHour(
  { demand, deviation }: Pick<ModelPlan, "demand" | "deviation">,
  without: number,
  own: number,
): number {
  const more = expectedServed(demand, deviation, without + own) - expectedServed(demand, deviation, without);
  return Math.round(Math.max(0, more) * 36_000) / 10;
}

function whyNot({ hardware }: Machine, { min_ram_gb, decode_floor_tps }: CatalogEntry, flags: Flags): string {
  return hardware.memory_gb < min_ram_gb
    ? `it needs ${min_ram_gb} GB of memory`
    : `this machine would write fewer than ${decode_floor_tps ?? flags.decode_floor_tps} tokens/s of it`;
}

/** @param isAssigned whether an order names its model, whatever its provider is started with. */
function adviceOf(models: readonly UsefulModel[], isAssigned: boolean): string | null {
  const [best] = models;
  if (best === undefined || best.obstacle !== null || best.holds) return null;
  const present = models.find(({ holds }) => holds)?.requests_per_hour ?? 0;
  const more = Math.round((best.requests_per_hour ?? 0) - present);
  if (more < LEAST_GAIN_PER_HOUR) return null;
  const id = best.model_id;
  const gain = `about ${more} more requests an hour could be served with "${id}" on this machine`;
  if (!best.on_disk) return `${gain}: start the provider with --model ${id}=hf:ORG/REPO/file.gguf as well`;
  const first = isAssigned ? "" : ", or start the provider with it as the first --model";
  return `${gain}, which is on its disk: an operator can assign it${first}`;
}
