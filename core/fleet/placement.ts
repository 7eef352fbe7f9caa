import type { ModelId } from "../../protocol/ids.ts";
import type { Catalog } from "../catalog.ts";
import type { Flags } from "../flags.ts";
import { PLANNED_MACHINES_KEPT } from "../limits.ts";
import { ownValue } from "../own-value.ts";
import { adoptions } from "../placement/adopt.ts";
import { EMPTY_PLACEMENT_STATE } from "../placement/config.ts";
import { planningRate } from "../placement/demand.ts";
import { plan } from "../placement/plan.ts";
import { NO_SCORE, scored, type Score, type ScoredDay, type ScoredTick } from "../placement/score.ts";
import { daysWon, tried } from "../placement/trial.ts";
import type { ModelEstimate, PlacementConfig, PlacementInput, Plan, StayReason } from "../placement/types.ts";
import type { Watch } from "../pool/demand-watch.ts";
import { demandSince } from "./counted-demand.ts";
import type { FleetView } from "./fleet-view.ts";
import { LoadTimes } from "./load-times.ts";
import { reasonText } from "./move-reasons.ts";
import { atObservedPace } from "./observed-pace.ts";
import { placementConfig, placementMachines, placementModels } from "./placement-input.ts";
import type { TrialReport } from "./placement-report.ts";
import {
  modeOf,
  type LastPlan,
  type NoPlan,
  type PlacementMemory,
  type PlacementMode,
  type PlacementStore,
  type PlannedMove,
  type PlanRecord,
} from "./plan-record.ts";
import { simulatedEstimates, simulatedFlags, simulatedInput, type Simulation } from "./simulation.ts";
import type { KnownDemand } from "./useful-models.ts";

/**
 * Placement on the live fleet: once per tick it learns from what the pools have counted, plans, and in `enforce` turns the plan
 * into orders. It plans only from fresh reports of all pools (D11): whoever does not answer may hold machines that would be counted
 * as missing.
 */

export interface PlacementPorts {
  /** Orders a machine to hold a model. @returns the epoch of the order; null if it can be given none. */
  assign(machineId: string, model: ModelId, reason: string, now: number): number | null;
}

const NOTHING_LEARNED: PlacementMemory = {
  learnedAt: null,
  state: EMPTY_PLACEMENT_STATE,
  counted: {},
  last: null,
};

export class Placement {
  readonly loadTimes: LoadTimes;
  readonly #store: PlacementStore;
  readonly #ports: PlacementPorts;
  #memory: PlacementMemory;
  #score: Score;
  /** Pools that have said that they are in demand, so that they are read although no machine is in them. */
  readonly #inDemand: Set<string>;
  /** Those of them that have said so since the present tick began: its reports may be older than their demand. */
  readonly #justTold = new Set<string>();
  /** Pools that count on being read within a regular tick, and so say nothing of a first request. */
  readonly #countingOnUs = new Set<string>();

  constructor(store: PlacementStore, ports: PlacementPorts) {
    this.#store = store;
    this.#ports = ports;
    this.#memory = store.placement() ?? NOTHING_LEARNED;
    this.#score = store.score() ?? NO_SCORE;
    this.#inDemand = new Set(store.poolsInDemand());
    this.loadTimes = new LoadTimes(store);
  }

  get last(): LastPlan | null {
    return this.#memory.last;
  }

  /** What the planner was worth, by day; the newest last. */
  get scoredDays(): readonly ScoredDay[] {
    return this.#score.days;
  }

  /** How it acts now: on trial it may show its plans only. */
  actsAs(flags: Flags): PlacementMode {
    const mode = modeOf(flags);
    if (mode !== "enforce" || flags.placement_trial_days === 0) return mode;
    return this.#score.trial?.mode ?? "shadow";
  }

  /** Null unless it has to earn that its plans are carried out. */
  trialReport(flags: Flags, now: number): TrialReport | null {
    const { trial, days } = this.#score;
    if (trial === null || flags.placement_trial_days === 0) return null;
    return {
      days: flags.placement_trial_days,
      days_won: trial.mode === "enforce" ? null : daysWon(trial, days, flags.placement_trial_days, now),
      since: trial.since,
      has_fallen_back: trial.mode === "shadow" && trial.countsFrom > 0,
    };
  }

  /** For whoever asks what a machine would be worth elsewhere. */
  get knownDemand(): KnownDemand {
    const { last, state } = this.#memory;
    const { models = [], supply = [] } = last ?? {};
    return { plans: models, supply, estimates: state.estimates, loadTimes: this.loadTimes };
  }

  history(limit: number): PlanRecord[] {
    return this.#store.plans(limit);
  }

  /** A pool tells that it is in demand. */
  noteDemand(pool: string): void {
    this.#justTold.add(pool);
    if (this.#inDemand.has(pool)) return;
    this.#store.addPoolInDemand(pool);
    this.#inDemand.add(pool);
  }

  /** A tick is about to read the pools. */
  begin(): void {
    this.#justTold.clear();
  }

  /** Pools to be read although they may have no machine. */
  poolsInDemand(): Iterable<string> {
    const live = Object.entries(this.#memory.state.estimates)
      .filter(([, estimate]) => planningRate(estimate) > 0)
      .map(([model]) => model);
    return new Set([...this.#inDemand, ...this.#countingOnUs, ...live]);
  }

  /** What a pool is told when it is read. */
  watchOf(pool: string, isLooking: boolean, tickMs: number): Watch {
    const estimate = ownValue<string, ModelEstimate>(this.#memory.state.estimates, pool);
    const rate = estimate === undefined ? 0 : planningRate(estimate);
    if (isLooking && rate > 0) this.#countingOnUs.add(pool);
    else this.#countingOnUs.delete(pool);
    if (estimate === undefined || rate === 0) return { isLooking: false, surprisingArrivals: null };
    return { isLooking, surprisingArrivals: surprisingArrivals(rate, estimate.dispersion, tickMs) };
  }

  /** When it last learned from counts, ms since the epoch; null before the first time. */
  get learnedAt(): number | null {
    return this.#memory.learnedAt;
  }

  /** The tick does not know the whole fleet, so nothing is learned or planned. */
  skip(halted: NoPlan, flags: Flags, now: number): void {
    this.#record(this.actsAs(flags), { halted, models: [], moves: [], stays: {} }, now);
  }

  /** Learns, plans, records, and in `enforce` orders. @returns whether anything was asked of any pool since the last time. */
  place(view: FleetView, catalog: Catalog, flags: Flags): boolean {
    const mode = this.actsAs(flags);
    const config = placementConfig(flags);
    const input = this.#inputOf(view, catalog, flags);
    const { state: before } = this.#memory;
    const planned = plan(before, input, config);
    const moves = this.#carryOut(mode, planned, input);
    const ordered = moves.filter(({ epoch }) => epoch !== null);
    const record = this.#record(
      mode,
      { halted: planned.halted, models: planned.models, moves, stays: countStays(planned) },
      input.now,
    );
    this.#keepScore(mode, { before, after: planned.state, input, moves: ordered }, config);
    this.#judge(flags, input.now);
    this.#remember(view, planned, {
      ...record,
      demand: input.demand,
      elapsedSeconds: input.elapsedSeconds,
      budget: planned.budget,
      machines: planned.machines.slice(0, PLANNED_MACHINES_KEPT),
      supply: planned.supply,
    });
    this.#forgetDemandRead();
    // A plan that is only shown moves no machine, so it is no reason for an early tick.
    return input.demand.some(({ offered }) => offered > 0) || ordered.length > 0;
  }

  #remember({ now, reports }: FleetView, { state }: Plan, last: LastPlan): void {
    const counted = Object.fromEntries([...reports].map(([pool, { demand }]) => [pool, demand]));
    this.#memory = { learnedAt: now, state, counted: { ...this.#memory.counted, ...counted }, last };
    this.#store.savePlacement(this.#memory);
  }

  #keepScore(mode: PlacementMode, tick: ScoredTick, config: PlacementConfig): void {
    if (mode === "off" && this.#score.mode === null) return;
    this.#score = scored(this.#score, mode === "off" ? null : mode, tick, config);
    this.#store.saveScore(this.#score);
  }

  /** Whether plans are carried out from the next tick on. */
  #judge(flags: Flags, now: number): void {
    const { trial, days } = this.#score;
    const isOnTrial = modeOf(flags) === "enforce" && flags.placement_trial_days > 0;
    const next = isOnTrial ? tried(trial, days, flags.placement_trial_days, now) : null;
    if (next === trial) return;
    this.#score = { ...this.#score, trial: next };
    this.#store.saveScore(this.#score);
  }

  #forgetDemandRead(): void {
    if (this.#inDemand.size > 0) this.#store.clearPoolsInDemand();
    this.#inDemand.clear();
    for (const pool of this.#justTold) {
      this.#inDemand.add(pool);
      this.#store.addPoolInDemand(pool);
    }
  }

  /** What would be planned now, with these changes. Changes nothing. */
  preview(
    view: FleetView,
    catalog: Catalog,
    flags: Flags,
    asked: Simulation,
  ): { readonly plan: Plan; readonly input: PlacementInput } {
    const changed = simulatedFlags(flags, asked);
    const input = simulatedInput(this.#inputOf(view, catalog, changed), asked);
    const { state } = this.#memory;
    // Machines that the simulation takes away must not look like a mass disconnect.
    const known = { ...state, estimates: simulatedEstimates(state.estimates, asked), online: [] };
    return { plan: plan(known, input, placementConfig(changed)), input };
  }

  #inputOf(view: FleetView, catalog: Catalog, flags: Flags): PlacementInput {
    const { learnedAt } = this.#memory;
    return {
      now: view.now,
      models: placementModels(catalog),
      machines: atObservedPace(
        placementMachines(view, catalog, flags, this.loadTimes),
        view.reports,
        this.#memory.state.estimates,
      ),
      demand: demandSince(this.#memory, view, catalog, this.#inDemand),
      elapsedSeconds: learnedAt === null ? flags.tick_seconds : Math.max(1, (view.now - learnedAt) / 1000),
    };
  }

  #carryOut(mode: PlacementMode, planned: Plan, input: PlacementInput): PlannedMove[] {
    if (mode === "off") return [];
    const moves = [...planned.moves, ...adoptions(planned, input)];
    return moves.map((move) => ({
      ...move,
      epoch:
        mode === "enforce" ? this.#ports.assign(move.machineId, move.to, reasonText(move), input.now) : null,
    }));
  }

  /** Keeps plans with news only: moves, and changes of what keeps the planner from moving. */
  #record(mode: PlacementMode, what: Omit<PlanRecord, "at" | "mode">, now: number): PlanRecord {
    const record = { at: now, mode, ...what };
    const [newest] = this.#store.plans(1);
    const isNews =
      record.moves.some(({ epoch }) => epoch !== null) ||
      newest === undefined ||
      changeOf(newest) !== changeOf(record);
    if (mode !== "off" && isNews) this.#store.addPlan(record);
    return record;
  }
}

/** What tells a plan that was not carried out from the one before it: shadow shows the same again at every tick. */
function changeOf({ mode, halted, moves }: Pick<PlanRecord, "mode" | "halted" | "moves">): string {
  return [mode, halted, ...moves.map(({ machineId, to }) => `${machineId} ${to}`)].join();
}

const SURPRISE = { sigmas: 5, atLeast: 5, maxDispersion: 3 } as const;

/**
 * Arrivals within one tick beyond which a pool notifies the fleet: more than chance explains. Null for bursty demand, whose
 * bursts are over before a load is.
 */
function surprisingArrivals(rate: number, dispersion: number, tickMs: number): number | null {
  if (dispersion >= SURPRISE.maxDispersion) return null;
  const expected = (rate * tickMs) / 1000;
  const deviation = Math.sqrt(Math.max(1, dispersion) * Math.max(1, expected));
  return Math.ceil(expected + SURPRISE.sigmas * deviation + SURPRISE.atLeast);
}

function countStays({ machines }: Plan): PlanRecord["stays"] {
  const counts: Partial<Record<StayReason, number>> = {};
  for (const { reason } of machines) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}
