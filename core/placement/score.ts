import type { ModelId } from "../../protocol/ids.ts";
import { ELSEWHERE_KEPT, IDLE_TICK_MS, SCORED_DAYS_KEPT } from "../limits.ts";
import { ownValue } from "../own-value.ts";
import { requestsPerSecond } from "./kinds.ts";
import { mostRoom } from "./most-room.ts";
import { plan } from "./plan.ts";
import type { Trial } from "./trial.ts";
import type { Move, PlacementConfig, PlacementInput, PlacementMachine, PlacementState } from "./types.ts";

/**
 * What placement is worth, in requests. Beside the fleet as it is, an imagined one is kept: in `shadow` the one that there would
 * be had the plans been carried out, in `enforce` the one that there would be had no machine been moved. At every tick both are
 * held against the same measured demand.
 */

export type ScoredMode = "shadow" | "enforce";

/** Where a machine is in the imagined fleet, whatever it really does. One that is not named is where it really is. */
export interface Elsewhere {
  readonly machineId: string;
  readonly model: ModelId;
  /** From when on it serves there. */
  readonly readyAt: number;
}

/** Sums over the ticks of one UTC day in one mode. */
export interface ScoredDay {
  /** When the day began. */
  readonly dayAt: number;
  readonly mode: ScoredMode;
  /** Of the machines that were online. */
  readonly machineSeconds: number;
  /** Requests asked for, refused ones included, and how many of them were served in time. */
  readonly offered: number;
  readonly good: number;
  /** Requests that the machines had room for, as they were and in the imagined fleet. */
  readonly asPlaced: number;
  readonly otherwise: number;
  /** For how many there could have been room at most; left out where a part of the day was counted without it. */
  readonly atMost?: number | undefined;
  /** Machines sent from one model to another: in `shadow` in the imagined fleet, in `enforce` in the real one. */
  readonly switches: number;
}

export interface Score {
  /** In which the imagined fleet began; null while nothing is planned. */
  readonly mode: ScoredMode | null;
  readonly elsewhere: readonly Elsewhere[];
  /** The newest last. */
  readonly days: readonly ScoredDay[];
  /** How far the planner has earned to be obeyed; null where it need not. */
  readonly trial: Trial | null;
}

export const NO_SCORE: Score = { mode: null, elsewhere: [], days: [], trial: null };

const DAY_MS = 86_400_000;

export interface ScoredTick {
  /** Before the tick and after it. */
  readonly before: PlacementState;
  readonly after: PlacementState;
  readonly input: PlacementInput;
  /** Those that were ordered. */
  readonly moves: readonly Move[];
}

/** The score after one more tick; null for a mode in which nothing is planned. */
export function scored(
  last: Score,
  mode: ScoredMode | null,
  tick: ScoredTick,
  config: PlacementConfig,
): Score {
  if (mode === null) return { ...NO_SCORE, days: last.days };
  const { input, after } = tick;
  const machines = byId(input.machines);
  const known = last.mode === mode ? last.elsewhere : [];
  const kept = known.filter((place) => isStillElsewhere(place, machines.get(place.machineId), input.now));
  const { elsewhere, imagined, moves, places } =
    mode === "enforce" ? unmoved(kept, tick) : carriedOut(kept, tick, config);
  const asPlaced = roomFor(input, after, config);
  const row = {
    dayAt: input.now - (input.now % DAY_MS),
    mode,
    machineSeconds: machineSecondsOf(input, config),
    offered: sum(input.demand.map(({ offered }) => offered)),
    good: sum(input.demand.map(({ good }) => good)),
    asPlaced,
    otherwise: roomFor(imagined, after, config),
    atMost: mostRoom(input, after, config, asPlaced),
    switches: moves.filter(({ from, to }) => from !== null && from !== to).length,
  };
  const moved = new Set(places.map(({ machineId }) => machineId));
  const others = elsewhere.filter(({ machineId }) => !moved.has(machineId));
  return {
    mode,
    elsewhere: [...others, ...places].slice(-ELSEWHERE_KEPT),
    days: withRow(last.days, row),
    trial: last.trial,
  };
}

/** What a tick is in one of the modes. */
interface ImaginedTick {
  /** The machines that are elsewhere in the imagined fleet, and that fleet, both as the tick finds them. */
  readonly elsewhere: readonly Elsewhere[];
  readonly imagined: PlacementInput;
  /** Those that count as switches of the mode. */
  readonly moves: readonly Move[];
  /** Where machines are in the imagined fleet from now on, because of these moves. */
  readonly places: readonly Elsewhere[];
}

/** In `enforce` nothing moves in the imagined fleet: what is ordered in the real one says where a machine still is in it. */
function unmoved(elsewhere: readonly Elsewhere[], { input, moves }: ScoredTick): ImaginedTick {
  const machines = byId(input.machines);
  const places = moves.flatMap((move) => leftBehind(move, machines.get(move.machineId), elsewhere));
  return { elsewhere, imagined: imaginedFleet(input, elsewhere), moves, places };
}

/** In `shadow` the imagined fleet has plans of its own, and they are carried out. */
function carriedOut(
  kept: readonly Elsewhere[],
  { input, before }: ScoredTick,
  config: PlacementConfig,
): ImaginedTick {
  const machines = byId(input.machines);
  const elsewhere = [...adopted(input.machines, kept), ...kept];
  const imagined = imaginedFleet(input, elsewhere);
  const { moves } = plan(before, imagined, config);
  const places = moves.map((move) => sentTo(move, machines.get(move.machineId), input.now, config));
  return { elsewhere, imagined, moves, places };
}

function byId(machines: readonly PlacementMachine[]): Map<string, PlacementMachine> {
  return new Map(machines.map((machine) => [machine.machineId, machine]));
}

function machineSecondsOf({ machines, elapsedSeconds }: PlacementInput, config: PlacementConfig): number {
  const online = machines.filter((machine) => !isAway(machine)).length;
  return online * Math.min(elapsedSeconds, 2 * longestTick(config));
}

/** Seconds between two regular looks. After far more there was a time without machines, or without a coordinator. */
function longestTick({ tickSeconds }: PlacementConfig): number {
  return Math.max(tickSeconds, IDLE_TICK_MS / 1000);
}

/** False once the machine really is there, or can be nowhere else any more. */
function isStillElsewhere(
  { model, readyAt }: Elsewhere,
  machine: PlacementMachine | undefined,
  now: number,
): boolean {
  if (machine === undefined || machine.isPinned || !machine.isManageable) return false;
  if (ownValue(machine.fits, model) === undefined) return false;
  // One that nobody has placed may hold the model now and swap it for another by the next tick.
  const isThere = machine.model === model && machine.state === "serving";
  return !isThere || now < readyAt;
}

/** Machines that nobody has placed are given what they hold, so from then on they swap models in the real fleet only. */
function adopted(machines: readonly PlacementMachine[], known: readonly Elsewhere[]): Elsewhere[] {
  const placed = new Set(known.map(({ machineId }) => machineId));
  return machines.flatMap(({ machineId, model, state, isManageable, fits }): Elsewhere[] => {
    const isFree = state === "unmanaged" && isManageable && !placed.has(machineId);
    return isFree && model !== null && ownValue(fits, model) !== undefined
      ? [{ machineId, model, readyAt: 0 }]
      : [];
  });
}

/** In both fleets. */
function isAway({ state }: PlacementMachine): boolean {
  return state === "offline" || state === "not_routable" || state === "cordoned";
}

/** The real fleet with these machines where they are imagined to be. */
function imaginedFleet(input: PlacementInput, elsewhere: readonly Elsewhere[]): PlacementInput {
  const places = new Map(elsewhere.map((place) => [place.machineId, place]));
  const machines = input.machines.map((machine): PlacementMachine => {
    const place = places.get(machine.machineId);
    if (place === undefined || isAway(machine)) return machine;
    const { model, readyAt } = place;
    // As in the real fleet, its dwell begins once it serves.
    return input.now < readyAt
      ? { ...machine, model, assignedAt: readyAt, state: "loading", loadDeadlineAt: readyAt }
      : { ...machine, model, assignedAt: readyAt, state: "serving", loadDeadlineAt: null };
  });
  return { ...input, machines };
}

/** In `enforce` the first move of a machine says where it would still be; one that failed, where it had been or would have gone. */
function leftBehind(
  { machineId, from, to }: Move,
  machine: PlacementMachine | undefined,
  elsewhere: readonly Elsewhere[],
): Elsewhere[] {
  const model = from ?? (machine?.state === "failed" ? machine.model : null);
  if (model === null || model === to || elsewhere.some((place) => place.machineId === machineId)) return [];
  return [{ machineId, model, readyAt: 0 }];
}

function sentTo(
  { machineId, to, from }: Move,
  machine: PlacementMachine | undefined,
  now: number,
  { drainSeconds }: PlacementConfig,
): Elsewhere {
  const load = machine?.fits[to]?.loadSeconds ?? 0;
  const drain = from !== null && (machine?.inFlight ?? 0) > 0 ? drainSeconds : 0;
  return { machineId, model: to, readyAt: now + (load + drain) * 1000 };
}

/** Of a tick's requests for each model, as many as its machines answer in that time. */
function roomFor(
  { machines, demand, elapsedSeconds }: PlacementInput,
  { estimates }: PlacementState,
  config: PlacementConfig,
): number {
  const rates = new Map<ModelId, number>();
  for (const { model, state, fits } of machines) {
    if (model === null || (state !== "serving" && state !== "unmanaged")) continue;
    const [fit, estimate] = [ownValue(fits, model), ownValue(estimates, model)];
    if (fit === undefined || estimate === undefined) continue;
    rates.set(model, (rates.get(model) ?? 0) + requestsPerSecond(fit, estimate, config));
  }
  return sum(
    demand.map(({ modelId, offered }) => Math.min(offered, (rates.get(modelId) ?? 0) * elapsedSeconds)),
  );
}

function withRow(days: readonly ScoredDay[], row: ScoredDay & { readonly atMost: number }): ScoredDay[] {
  const isSame = ({ dayAt, mode }: ScoredDay): boolean => dayAt === row.dayAt && mode === row.mode;
  const day = days.find(isSame);
  if (day === undefined) return [...days, row].slice(-SCORED_DAYS_KEPT);
  const { atMost, ...counts } = row;
  const added = {
    ...counts,
    ...(day.atMost === undefined ? {} : { atMost: day.atMost + atMost }),
    machineSeconds: day.machineSeconds + row.machineSeconds,
    offered: day.offered + row.offered,
    good: day.good + row.good,
    asPlaced: day.asPlaced + row.asPlaced,
    otherwise: day.otherwise + row.otherwise,
    switches: day.switches + row.switches,
  };
  return days.map((other) => (isSame(other) ? added : other));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
