import type { Flags } from "../flags.ts";
import type { ScoredDay } from "../placement/score.ts";
import type { ModelPlan, PlacementInput, Plan, Stay } from "../placement/types.ts";
import {
  modeOf,
  type LastPlan,
  type PlacementMode,
  type PlanRecord,
  type PlannedMove,
} from "./plan-record.ts";

/** Plans as operators read them, in the shape of `GET /v1/admin/placement`. */

export interface PlacementReport {
  readonly at: number | null;
  /** As the flag says, and as it acts. */
  readonly placement: Flags["placement"];
  readonly acts_as: PlacementMode;
  /** Null unless the planner has to earn that its plans are carried out. */
  readonly trial: TrialReport | null;
  /** Why the last plan moved nothing, whatever it would have gained. */
  readonly halted: string | null;
  /** What operators should change, in sentences. */
  readonly warnings: readonly string[];
  readonly elapsed_seconds: number | null;
  readonly budget: number | null;
  readonly models: readonly ModelRow[];
  readonly moves: readonly MoveRow[];
  readonly machines: readonly StayRow[];
  /** What the planner was worth, by day and mode, the newest first. */
  readonly score: readonly ScoreRow[];
  readonly history: readonly HistoryRow[];
}

/** How far the planner has earned, or how it lost, that its plans are carried out. */
export interface TrialReport {
  /** On so many days in a row it must have won. */
  readonly days: number;
  /** On so many it has by now; null once its plans are carried out. */
  readonly days_won: number | null;
  readonly since: number;
  /** Its plans were carried out, and won less than nothing. */
  readonly has_fallen_back: boolean;
}

interface ModelRow {
  readonly model_id: string;
  readonly offered: number | null;
  readonly served_in_time: number | null;
  /** The demand that is expected and its standard deviation, in requests per second. */
  readonly demand_rps: number;
  readonly deviation_rps: number;
  /** Of the machines that serve or will, after the moves. */
  readonly capacity_rps: number;
  readonly demand_machines: number;
  readonly desired: number;
  readonly serving: number;
  readonly loading: number;
}

interface MoveRow {
  readonly machine_id: string;
  readonly from: string | null;
  readonly to: string;
  readonly reason: string;
  readonly won_rps: number;
  readonly lost_rps: number;
  readonly gate_rps: number;
  /** Null if no order was sent. */
  readonly epoch: number | null;
}

interface StayRow {
  readonly machine_id: string;
  readonly reason: string;
  readonly best_target: string | null;
  readonly best_gain_rps: number | null;
}

interface ScoreRow {
  /** When the UTC day began. */
  readonly day_at: number;
  readonly mode: string;
  readonly offered: number;
  readonly served_in_time: number;
  /** Requests that the machines had room for, by what they can serve: as they were, and in the other fleet. */
  readonly room_as_placed: number;
  readonly room_otherwise: number;
  /** For as many there could have been room, had every machine held the right model all the time; null if it was not counted. */
  readonly room_at_most: number | null;
  readonly switches: number;
  /**
   * Null until the machines' time online adds up to a day: scaled up from minutes, one move would look like thousands.
   */
  readonly switches_per_machine_day: number | null;
}

interface HistoryRow {
  readonly at: number;
  readonly mode: string;
  readonly halted: string | null;
  readonly moves: readonly MoveRow[];
  readonly stays: Readonly<Record<string, number>>;
}

/** What is shown before the first plan. */
const NO_PLAN = {
  at: null,
  halted: null,
  elapsedSeconds: null,
  budget: null,
  demand: [],
  models: [],
  moves: [],
  machines: [],
  supply: [],
} as const;

export interface Standing {
  readonly actsAs: PlacementMode;
  readonly trial: TrialReport | null;
}

export function placementReport(
  last: LastPlan | null,
  history: readonly PlanRecord[],
  days: readonly ScoredDay[],
  flags: Flags,
  warnings: readonly string[] = [],
  { actsAs, trial }: Standing = { actsAs: modeOf(flags), trial: null },
): PlacementReport {
  const [newest] = history;
  const plan = last ?? NO_PLAN;
  return {
    at: plan.at,
    placement: flags.placement,
    acts_as: actsAs,
    trial,
    halted: newest !== undefined && newest.at > (plan.at ?? 0) ? newest.halted : plan.halted,
    warnings,
    elapsed_seconds: plan.elapsedSeconds,
    budget: plan.budget,
    models: plan.models.map((model) => modelRow(model, plan.demand)),
    moves: plan.moves.map(moveRow),
    machines: plan.machines.map(stayRow),
    score: days.toReversed().map(scoreRow),
    history: history.map(({ at, mode, halted, moves, stays }) => ({
      at,
      mode,
      halted,
      moves: moves.map(moveRow),
      stays,
    })),
  };
}

export type PlacementPreview = Pick<PlacementReport, "models" | "moves" | "machines">;

/** What would be planned: the answer to a simulation. */
export function previewReport(plan: Plan, input: PlacementInput): PlacementPreview {
  return {
    models: plan.models.map((model) => modelRow(model, input.demand)),
    moves: plan.moves.map((move) => moveRow({ ...move, epoch: null })),
    machines: plan.machines.map(stayRow),
  };
}

function modelRow(model: ModelPlan, demand: PlacementInput["demand"]): ModelRow {
  const counted = demand.find(({ modelId }) => modelId === model.modelId);
  return {
    model_id: model.modelId,
    offered: counted?.offered ?? null,
    served_in_time: counted?.good ?? null,
    demand_rps: model.demand,
    deviation_rps: model.deviation,
    capacity_rps: model.capacity,
    demand_machines: model.demandMachines,
    desired: model.desired,
    serving: model.serving,
    loading: model.loading,
  };
}

function moveRow({ machineId, from, to, reason, won, lost, gate, epoch }: PlannedMove): MoveRow {
  return { machine_id: machineId, from, to, reason, won_rps: won, lost_rps: lost, gate_rps: gate, epoch };
}

function stayRow({ machineId, reason, bestTarget, bestGain }: Stay): StayRow {
  return { machine_id: machineId, reason, best_target: bestTarget, best_gain_rps: bestGain };
}

const DAY_SECONDS = 86_400;

function scoreRow({ dayAt, mode, machineSeconds, offered, good, ...day }: ScoredDay): ScoreRow {
  return {
    day_at: dayAt,
    mode,
    offered,
    served_in_time: good,
    room_as_placed: day.asPlaced,
    room_otherwise: day.otherwise,
    room_at_most: day.atMost ?? null,
    switches: day.switches,
    switches_per_machine_day:
      machineSeconds < DAY_SECONDS ? null : (day.switches * DAY_SECONDS) / machineSeconds,
  };
}
