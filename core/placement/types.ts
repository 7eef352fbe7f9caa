import type { ModelId } from "../../protocol/ids.ts";

/** What the planner reads and what it answers. Everything is plain JSON: times in ms since the epoch, rates in requests/s. */

/** The requests of one tick that wanted a model, counted at the door before any check and once per client request. */
export interface TickDemand {
  readonly modelId: ModelId;
  /** All arrivals, those refused with 429 included. */
  readonly offered: number;
  /** Requests whose answer ended in this tick and was in time; they may have come in an earlier one. */
  readonly good: number;
  /** Null without a measurement in this tick. */
  readonly promptTokensMean: number | null;
  readonly outputTokensMean: number | null;
}

export interface PlacementModel {
  readonly modelId: ModelId;
  /** Machines the operator wants held at all times. */
  readonly floor: number;
  /** No machine is given to a model that has this many, and what it has beyond is free for others; null without a limit. */
  readonly cap: number | null;
  /** Weight of a served request of this model; 1 is normal. */
  readonly priority: number;
}

/** How a machine serves a model that fits it. */
export interface Fitness {
  /** Requests served at once. */
  readonly slots: number;
  /** Tokens/s of one request while all slots are used. */
  readonly decodeTps: number;
  readonly prefillTps: number;
  readonly loadSeconds: number;
  readonly onDisk: boolean;
}

export type MachineState =
  | "serving"
  | "draining"
  | "loading"
  | "failed"
  | "offline"
  | "not_routable"
  | "cordoned"
  | "empty"
  | "unmanaged";

export interface PlacementMachine {
  readonly machineId: string;
  /**
   * The model that it holds; while draining or loading, the one that it will hold; while failed, the one that it could not
   * load.
   */
  readonly model: ModelId | null;
  /**
   * `unmanaged`: serves what its owner chose, since nobody has placed it yet. `not_routable`: connected, and no request may go to it,
   * as long as it is too hot, say.
   */
  readonly state: MachineState;
  /** When a drain or load in flight stops counting as coming supply. */
  readonly loadDeadlineAt: number | null;
  readonly assignedAt: number;
  readonly isPinned: boolean;
  /** False if no order may be sent to it, e.g. its owner withholds it. */
  readonly isManageable: boolean;
  /** A model that is missing does not fit. */
  readonly fits: Readonly<Record<ModelId, Fitness>>;
  readonly cooldownUntil: Readonly<Record<ModelId, number>>;
  readonly inFlight: number;
  /** When a tick found that it had announced its stop and gone, so that it does not count as vanished; null if it never has. */
  readonly wentAt: number | null;
}

export interface PlacementConfig {
  /**
   * Length of a regular tick, over which the dispersion of the counts is measured. Also assumed where the length of a tick is
   * not known.
   */
  readonly tickSeconds: number;
  /** A managed machine younger than this stays (C11). Safe: 0 to 900. */
  readonly minDwellSeconds: number;
  /** Orders per tick; 0 moves nothing (F13). */
  readonly maxLoadsPerTick: number;
  /** Loads in flight at once. */
  readonly maxPendingLoads: number;
  /** A pair slower than this has no capacity. */
  readonly decodeFloorTps: number;
  /** How long a placement is expected to be useful. Safe: 300 to 1800. */
  readonly horizonSeconds: number;
  /**
   * The gain a move must exceed, as a share of the machine's best capacity, without what loading takes (all of the gate is at
   * most 0.3 of the machine's capacity in the target, and more where demand is rough). Safe: 0.05 to 0.15.
   */
  readonly kappa: number;
  /**
   * How likely a move is taken to be for nothing, so that the machine must be loaded back: the gate has as much of a load,
   * but no more than 0.14 of the capacity. Safe: 0 to 1.
   */
  readonly reloadRisk: number;
  /** Time constants of the three averages of demand. Safe: 60 to 150, 600 to 1800 and 7200 to 14400. */
  readonly fastSeconds: number;
  readonly slowSeconds: number;
  readonly usualSeconds: number;
  /** Extra weight of a pool whose requests miss their deadline; 0 serves the most requests. Safe: 0 to 3. */
  readonly fairness: number;
  /** What draining a serving machine costs beside the load. */
  readonly drainSeconds: number;
  /** No moves for `freezeSeconds` after more than this share of the machines vanished within `vanishWindowSeconds`. */
  readonly vanishShare: number;
  readonly vanishWindowSeconds: number;
  readonly freezeSeconds: number;
}

/** What is remembered of one model between ticks. */
export interface ModelEstimate {
  /** Requests/s, averaged over `fastSeconds`, `slowSeconds` and `usualSeconds`; `fast` is null before the first count. */
  readonly fast: number | null;
  readonly slow: number;
  readonly usual: number;
  /** How much time the averages stand for: all since the first arrival, or since demand last jumped. */
  readonly averagedSeconds: number;
  /** Variance of a tick's count by its mean: 1 for Poisson arrivals. */
  readonly dispersion: number;
  /**
   * Dispersion of the second difference of the counts, of which levels and trends are no part: near 1 for Poisson arrivals, 3
   * and more in bursts.
   */
  readonly roughness: number;
  /** Arrival rates of the last two ticks, the older first. */
  readonly recent: readonly [number, number];
  /** Sign and length of the present run of ticks above or below the forecast. */
  readonly surprises: number;
  /** Sums over that run: the arrival rates and the forecasts, requests/s. */
  readonly surpriseRate: number;
  readonly surpriseExpected: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Share of requests not served in time, averaged; below 0 for a while if answers are late. */
  readonly missShare: number;
  /** Ticks learned from, as far as they matter. */
  readonly ticks: number;
  /** Of the next minutes. */
  readonly persistence: Persistence;
  readonly hindsight: Hindsight;
  /** The same of some twenty minutes on: what bursts have left by then. */
  readonly later: Outlook;
}

/** One whose model has been counted at least once. */
export interface BegunEstimate extends ModelEstimate {
  readonly fast: number;
}

/** Which share of a difference between two averages is expected to last, 0 to 1. */
export interface Persistence {
  /** Of how far the fast average is off the slow one. */
  readonly ofFast: number;
  /** Of how far the slow average is off the usual one. */
  readonly ofSlow: number;
}

/** How much of a change lasts for so long, and what that was learned from. */
export interface Outlook {
  readonly persistence: Persistence;
  readonly hindsight: Hindsight;
}

/** What changes of demand have come to. */
export interface Hindsight {
  readonly lately: Differences;
  readonly moments: Moments;
}

/** Averages over the last minutes: of both differences, of each times what was usual then, and of their products. */
export interface Differences {
  readonly fast: number;
  readonly slow: number;
  readonly fastUsual: number;
  readonly slowUsual: number;
  readonly fastFast: number;
  readonly fastSlow: number;
  readonly slowSlow: number;
}

/** Averages over hours of products: of the two differences with each other, and with how far off the usual was what came after. */
export interface Moments {
  readonly fastFast: number;
  readonly fastSlow: number;
  readonly slowSlow: number;
  readonly fastCame: number;
  readonly slowCame: number;
}

export interface PlacementState {
  readonly estimates: Readonly<Record<ModelId, ModelEstimate>>;
  /** Machines online at recent ticks, to see a mass disconnect. */
  readonly online: readonly { readonly at: number; readonly count: number }[];
  readonly frozenUntil: number;
}

export interface PlacementInput {
  readonly now: number;
  readonly models: readonly PlacementModel[];
  readonly machines: readonly PlacementMachine[];
  readonly demand: readonly TickDemand[];
  /** Since the last tick. */
  readonly elapsedSeconds: number;
}

/** Why a machine moves. */
export type MoveReason =
  | "floor"
  /** A pool with demand has no machine, and gets one whatever the gate. */
  | "first_machine"
  | "demand_gain"
  | "placed_empty"
  /** It stays where it is, and holds that and nothing else from now on. */
  | "adopted";

/** Why a machine stays. */
export type StayReason =
  | "offline"
  | "cordoned"
  | "moving"
  | "unmanageable"
  | "not_routable"
  | "pinned"
  | "dwell"
  | "cooldown"
  | "nothing_fits"
  | "last_of_pool"
  | "pool_at_floor"
  | "no_gain"
  | "budget"
  | "frozen"
  | "no_demand_seen";

/** Why a plan moves nothing, whatever it would gain. */
export type PlanHalt = Extract<StayReason, "frozen" | "no_demand_seen">;

export interface Move {
  readonly machineId: string;
  readonly from: ModelId | null;
  readonly to: ModelId;
  readonly reason: MoveReason;
  /** Weighted requests/s: won by the target pool after the load, lost by the donor, and the gate. */
  readonly won: number;
  readonly lost: number;
  readonly gate: number;
}

export interface Stay {
  readonly machineId: string;
  readonly reason: StayReason;
  /** The best move that was considered, if any: its net gain in weighted requests/s after loss and gate. */
  readonly bestTarget: ModelId | null;
  readonly bestGain: number | null;
}

export interface ModelPlan {
  readonly modelId: ModelId;
  /** Expected requests/s and the standard deviation of the load. */
  readonly demand: number;
  readonly deviation: number;
  /** Requests/s of machines that serve or are to serve, after the moves. */
  readonly capacity: number;
  readonly demandMachines: number;
  /** Machines the pool holds once the moves are done. */
  readonly desired: number;
  readonly serving: number;
  readonly loading: number;
}

/** What serves a model or is on its way to it, before the moves. */
export interface ModelSupply {
  readonly modelId: ModelId;
  /** Requests/s. */
  readonly capacity: number;
  readonly machines: number;
}

export interface Plan {
  readonly state: PlacementState;
  readonly moves: readonly Move[];
  readonly halted: PlanHalt | null;
  /** Orders that this tick may send, after the loads in flight; 0 while the planner is halted. */
  readonly budget: number;
  readonly machines: readonly Stay[];
  readonly models: readonly ModelPlan[];
  readonly supply: readonly ModelSupply[];
}
