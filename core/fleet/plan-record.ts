import type { MachineId, ModelId } from "../../protocol/ids.ts";
import type { Flags } from "../flags.ts";
import type { Score } from "../placement/score.ts";
import type {
  ModelPlan,
  ModelSupply,
  Move,
  PlacementState,
  PlanHalt,
  Stay,
  StayReason,
  TickDemand,
} from "../placement/types.ts";
import type { DemandTotals } from "../pool/demand.ts";
import type { ScheduleMemory } from "./tick-schedule.ts";

/** What placement remembers between ticks, and what it records for operators. */

/** `off` estimates demand and moves nothing; so does `shadow`, which also shows what it would do (C15). */
export type PlacementMode = Flags["placement"];

/** How the flag acts: without the assignment gate nothing can be ordered, so `enforce` only shows (H17). */
export function modeOf({ placement, assignment_gate }: Flags): PlacementMode {
  return placement === "enforce" && assignment_gate === "off" ? "shadow" : placement;
}

/** Why there was no plan: a pool did not answer, or the machines were just about to come back. */
export type NoPlan = "stale_reports" | "reconnecting";

/** Why a tick moved nothing: its plan was halted, or there was none. */
export type Halt = PlanHalt | NoPlan;

/** One tick's decision. */
export interface PlanRecord {
  readonly at: number;
  readonly mode: PlacementMode;
  readonly halted: Halt | null;
  readonly models: readonly ModelPlan[];
  readonly moves: readonly PlannedMove[];
  /** How many machines stay, by reason. */
  readonly stays: Readonly<Partial<Record<StayReason, number>>>;
}

export interface PlannedMove extends Move {
  /** Of the order; null if none was sent. */
  readonly epoch: number | null;
}

/** The newest decision with what it was made from. */
export interface LastPlan extends PlanRecord {
  readonly demand: readonly TickDemand[];
  /** Since the tick before. */
  readonly elapsedSeconds: number;
  /** Orders this tick could have sent, after the loads in flight. */
  readonly budget: number;
  readonly machines: readonly Stay[];
  /** Before the moves. */
  readonly supply: readonly ModelSupply[];
}

export interface PlacementMemory {
  /** When it was last learned from counts; null before the first time. */
  readonly learnedAt: number | null;
  readonly state: PlacementState;
  /** Of each pool, its totals as they were then. */
  readonly counted: Readonly<Record<ModelId, DemandTotals>>;
  readonly last: LastPlan | null;
}

/** Measured seconds of a machine's loads of a model. */
export interface LoadTime {
  readonly machineId: MachineId;
  readonly model: ModelId;
  readonly seconds: number;
}

/** What placement keeps. Writes take effect together with the orders that follow, or not at all. */
export interface PlacementStore {
  placement(): PlacementMemory | null;
  savePlacement(memory: PlacementMemory): void;
  score(): Score | null;
  saveScore(score: Score): void;
  addPlan(plan: PlanRecord): void;
  /** The newest first. */
  plans(limit: number): PlanRecord[];
  schedule(): ScheduleMemory | null;
  saveSchedule(memory: ScheduleMemory): void;
  /** Pools that have said that they are in demand since the last plan. */
  poolsInDemand(): string[];
  addPoolInDemand(pool: string): void;
  clearPoolsInDemand(): void;
  loadTimes(): LoadTime[];
  saveLoadTime(loadTime: LoadTime): void;
  removeLoadTimes(machineId: MachineId): void;
}
