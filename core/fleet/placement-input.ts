import type { ModelId } from "../../protocol/ids.ts";
import type { Catalog, CatalogEntry } from "../catalog.ts";
import type { Flags } from "../flags.ts";
import { DRAIN_TIMEOUT_MS, EXPECT_TIMEOUT_MS, LOAD_TIMEOUT_MS, RELEASING_TOO_LONG_MS } from "../limits.ts";
import { DEFAULT_PLACEMENT_CONFIG } from "../placement/config.ts";
import { fitnessOf, guessedDecodeTps, guessedLoadSeconds } from "../placement/fitness.ts";
import { isSupply } from "../placement/fleet.ts";
import type {
  Fitness,
  MachineState,
  PlacementConfig,
  PlacementMachine,
  PlacementModel,
} from "../placement/types.ts";
import { decodeTpsAt } from "../pool/speeds.ts";
import { viewMachine, type FleetView, type MachineView } from "./fleet-view.ts";
import type { ExpectedSeconds, LoadTimes } from "./load-times.ts";
import { hasEpochLeft, unmanageableBecause, type Intent, type Machine } from "./machine.ts";
import { isAdoption } from "./move-reasons.ts";
import { wentInOrderAt } from "./presence.ts";

/**
 * Translates the fleet into the planner's input. Only a machine that requests could really reach counts as serving, by the
 * pools' own gate (F9). One on its way counts as coming supply until its deadline, a failed one as nothing (F1).
 */

export function placementConfig(flags: Flags): PlacementConfig {
  return {
    ...DEFAULT_PLACEMENT_CONFIG,
    tickSeconds: flags.tick_seconds,
    minDwellSeconds: flags.min_dwell_seconds,
    maxLoadsPerTick: flags.max_loads_per_tick,
    maxPendingLoads: flags.max_pending_loads,
    // A model may have a floor of its own, so slower machines are left out of `fits` instead.
    decodeFloorTps: 0,
  };
}

export function placementModels({ entries }: Catalog): PlacementModel[] {
  return entries.map(({ id, floor, cap, priority }) => ({ modelId: id, floor, cap, priority }));
}

export function placementMachines(
  view: FleetView,
  catalog: Catalog,
  flags: Flags,
  loadTimes: LoadTimes,
): PlacementMachine[] {
  const cooldowns = new Map<string, Record<ModelId, number>>();
  for (const { machineId, model, until } of view.cooldowns) {
    cooldowns.set(machineId, { ...cooldowns.get(machineId), [model]: until });
  }
  const loadSeconds = loadTimes.expected((model) => {
    const entry = catalog.find(model);
    return entry === undefined ? null : guessedLoadSeconds(entry.size_gb);
  });
  const untried = new Map<string, Fits>();
  const machines = view.machines.map((machine): PlacementMachine => {
    const seen = viewMachine(view, machine);
    const pace = paceOf(seen, catalog);
    const fitsAt = (share: number): Fits => fitsOf(seen, catalog, flags, loadSeconds, share);
    if (pace < 1) untried.set(machine.machineId, fitsAt(1));
    return {
      machineId: machine.machineId,
      ...placeOf(seen, catalog, view.now),
      assignedAt: seen.intent === null ? 0 : cameAt(seen.intent),
      isPinned: seen.intent !== null && seen.intent.model !== null && seen.intent.isPinned,
      isManageable: unmanageableBecause(machine, flags) === null && hasEpochLeft(seen.intent),
      fits: fitsAt(pace),
      cooldownUntil: cooldowns.get(machine.machineId) ?? {},
      inFlight: seen.inFlight,
      wentAt: wentInOrderAt(machine, view.now),
    };
  });
  return untried.size === 0 ? machines : withUntried(machines, untried);
}

type Fits = Readonly<Record<ModelId, Fitness>>;

/** No order could make such a machine serve. */
const AWAY: ReadonlySet<MachineState> = new Set(["offline", "not_routable", "cordoned"]);

/**
 * A model that nobody holds, and that by lowered guesses is too slow on every machine, would get none for ever, and nobody would
 * see how slow it is (F8): for such a model the guesses stay what they were.
 */
function withUntried(
  machines: readonly PlacementMachine[],
  untried: ReadonlyMap<string, Fits>,
): PlacementMachine[] {
  const tried = new Set<string>();
  for (const { model, state, isManageable, fits } of machines) {
    if (model !== null && state !== "failed") tried.add(model);
    if (AWAY.has(state) || !isManageable) continue;
    for (const fitting of Object.keys(fits)) tried.add(fitting);
  }
  return machines.map((machine) => {
    const hopes = Object.entries(untried.get(machine.machineId) ?? {}).filter(([model]) => !tried.has(model));
    return hopes.length === 0
      ? machine
      : { ...machine, fits: { ...machine.fits, ...Object.fromEntries(hopes) } };
  });
}

/** A machine that was given what it held already has been there for longer than its order. */
function cameAt({ reason, phaseAt }: Intent): number {
  return isAdoption(reason) ? 0 : phaseAt;
}

type Place = Pick<PlacementMachine, "model" | "state" | "loadDeadlineAt">;

const OFFLINE: Place = { model: null, state: "offline", loadDeadlineAt: null };

/** Whether connected or not: an operator's cordon is no network fault. */
const CORDONED: Place = { ...OFFLINE, state: "cordoned" };

/** The model that the planner counts the machine for, now or soon; null if it serves none. */
export function suppliedModel(seen: MachineView, catalog: Catalog, now: number): ModelId | null {
  const place = placeOf(seen, catalog, now);
  return isSupply(place, now) ? place.model : null;
}

/** What the machine holds or is on its way to, and whether that counts. */
function placeOf(seen: MachineView, catalog: Catalog, now: number): Place {
  const { intent, machine } = seen;
  if (machine.cordonedAt !== null) return CORDONED;
  if (intent === null || intent.model === null) {
    return intent?.phase === "releasing"
      ? { ...OFFLINE, state: "loading", loadDeadlineAt: now }
      : unmanaged(seen, catalog);
  }
  if (intent.outcome === null) return underWay(seen, intent);
  if (intent.outcome === "failed") {
    return seen.sockets.length === 0 ? OFFLINE : { ...OFFLINE, model: intent.model, state: "failed" };
  }
  const { home } = seen;
  if (home?.record?.mode === "loading") return underWay(seen, intent);
  const isServing = home !== null && home.blockedBy === null;
  return isServing ? { model: intent.model, state: "serving", loadDeadlineAt: null } : outOfReach(seen);
}

/** It serves nobody now. A machine that a gate keeps back has not vanished, but one that is silent may have. */
function outOfReach({ sockets }: MachineView): Place {
  const isHere = sockets.some(({ report }) => report.blockedBy !== "silent");
  return isHere ? { ...OFFLINE, state: "not_routable" } : OFFLINE;
}

/** It counts for the pool of the model that it has in memory, if requests reach it there. */
function unmanaged(seen: MachineView, catalog: Catalog): Place {
  const routable = seen.sockets.filter(({ report }) => report.blockedBy === null);
  if (routable.length === 0) return outOfReach(seen);
  const holding = routable.find(({ pool, report }) => report.loaded && catalog.find(pool)?.id === pool);
  const model = holding === undefined ? null : (catalog.find(holding.pool)?.id ?? null);
  return { model, state: model === null ? "empty" : "unmanaged", loadDeadlineAt: null };
}

function underWay({ home }: MachineView, intent: Intent): Place {
  const { model, phase, phaseAt, startedAt, epoch } = intent;
  if (phase === "releasing") {
    return { model, state: "draining", loadDeadlineAt: startedAt + RELEASING_TOO_LONG_MS };
  }
  const record = home?.record ?? null;
  if (record === null || record.epoch !== epoch) {
    return { model, state: "loading", loadDeadlineAt: phaseAt + EXPECT_TIMEOUT_MS };
  }
  switch (record.mode) {
    case "draining":
      return {
        model,
        state: "draining",
        loadDeadlineAt: record.since + 2 * DRAIN_TIMEOUT_MS + LOAD_TIMEOUT_MS,
      };
    case "loading":
      return { model, state: "loading", loadDeadlineAt: record.since + LOAD_TIMEOUT_MS };
    case "expected":
    case "assigned":
    case "failed":
    case "released":
    case "unmanaged":
      return { model, state: "loading", loadDeadlineAt: record.since + EXPECT_TIMEOUT_MS };
  }
}

function fitsOf(
  seen: MachineView,
  catalog: Catalog,
  flags: Flags,
  loadSeconds: ExpectedSeconds,
  pace: number,
): Fits {
  const fits: Record<ModelId, Fitness> = {};
  for (const model of seen.machine.models) {
    const entry = catalog.find(model.id);
    if (entry?.id !== model.id) continue;
    const fitness = fitIn(seen, entry, model, flags, loadSeconds, pace);
    if (fitness !== null) fits[model.id] = fitness;
  }
  return fits;
}

/** What a machine says of a model on its disk. */
type Claims = Pick<Machine["models"][number], "decodeTps" | "prefillTps">;

/**
 * How the machine would serve a model, on its disk or not; null if it could not hold it, or would be too slow.
 * @param pace what guesses are multiplied by
 */
export function fitIn(
  { machine, sockets }: MachineView,
  entry: CatalogEntry,
  claims: Claims,
  flags: Flags,
  loadSeconds: ExpectedSeconds,
  pace: number,
): Fitness | null {
  if (machine.hardware.memory_gb < entry.min_ram_gb) return null;
  const guessed = guessOf(machine, entry);
  return fitnessOf(
    {
      speed: sockets.find(({ pool }) => pool === entry.id)?.report.speed ?? null,
      claimedDecodeTps: claims.decodeTps,
      claimedPrefillTps: claims.prefillTps,
      guessedDecodeTps: guessed === null ? null : pace * guessed,
      slots: Math.min(machine.maxConcurrency, entry.max_concurrency),
      loadSeconds: loadSeconds(machine.machineId, entry.id, guessedLoadSeconds(entry.size_gb)),
    },
    floorOf(entry, flags),
  );
}

/**
 * What a machine's guessed speeds are multiplied by, 1 at most: less if it decodes what was measured more slowly than guessed. Else
 * it would seem the better machine for whatever it has not served yet. A model of experts decodes faster than its size says, which
 * is no reason to expect as much of others.
 */
export function paceOf({ machine, sockets }: MachineView, catalog: Catalog): number {
  const paces = sockets.flatMap(({ pool, report }) => {
    const entry = catalog.find(pool);
    const guessed = entry === undefined ? null : guessOf(machine, entry);
    const measured = decodeTpsAt(report.speed, null, 1);
    return guessed === null || measured === null ? [] : [measured / guessed];
  });
  return Math.min(1, ...paces);
}

function guessOf({ hardware }: Machine, { size_gb }: CatalogEntry): number | null {
  return guessedDecodeTps(hardware.memory_bandwidth_gbs, size_gb);
}

function floorOf({ decode_floor_tps }: CatalogEntry, flags: Flags): number {
  return decode_floor_tps ?? flags.decode_floor_tps;
}
