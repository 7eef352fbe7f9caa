import type { MachineView, Move, PolicyMaker, Setting, View } from "../policy.ts";

/**
 * Moves a machine when it is worth it: the demand it is expected to serve where it goes, over the time a placement
 * stays useful, less what it leaves behind, less what the switch costs. The expected served demand of c machine units
 * is E[min(D, c)] with D normal around a forecast; the spread comes from the forecast's own errors, so a bursty model
 * gets more room. A forecast that is off by much twice running in the same direction jumps to the new level.
 */
interface Forecast {
  fast: number;
  slow: number;
  variance: number;
  /** Consecutive large errors, with their sign, and the demand at the first of them. */
  run: number;
  runFirst: number;
}

const FAST = 1 - Math.exp(-1 / 3);
const SLOW = 1 - Math.exp(-1 / 15);
const JUMP_SIGMA = 2.5;
const HORIZON_MINUTES = 20;
/** The least gain of a move, in machine-minutes over the horizon; what keeps noise from moving machines. */
const GATE_MINUTES = 1.5;
const DWELL_MINUTES = 4;
const BUDGET_SHARE = 0.1;

export const gain: PolicyMaker = (setting) => {
  let forecasts: Forecast[] | undefined;
  return {
    decide: (view) => {
      forecasts ??= view.observed.map((demand) => startForecast(demand, setting));
      for (const [model, forecast] of forecasts.entries()) {
        update(forecast, view.observed[model] ?? 0, setting.requestsPerMinute);
      }
      return plan(forecasts, view, setting);
    },
  };
};

function startForecast(demand: number, setting: Setting): Forecast {
  return {
    fast: demand,
    slow: demand,
    variance: (2 * demand) / setting.requestsPerMinute,
    run: 0,
    runFirst: 0,
  };
}

function update(forecast: Forecast, demand: number, requestsPerMinute: number): void {
  const error = demand - forecast.fast;
  const least = Math.max(demand, 1 / requestsPerMinute) / requestsPerMinute;
  const deviation = Math.sqrt(Math.max(forecast.variance, least));
  if (Math.abs(error) > JUMP_SIGMA * deviation) {
    const again = forecast.run !== 0 && Math.sign(error) === Math.sign(forecast.run);
    forecast.run = again ? forecast.run + Math.sign(error) : Math.sign(error);
    if (!again) forecast.runFirst = demand;
  } else forecast.run = 0;
  if (Math.abs(forecast.run) >= 2) {
    forecast.fast = forecast.slow = (demand + forecast.runFirst) / 2;
    forecast.run = 0;
    return;
  }
  const clipped = Math.min(error * error, 9 * Math.max(forecast.variance, least));
  forecast.variance += 0.03 * (clipped - forecast.variance);
  forecast.fast += FAST * error;
  forecast.slow += SLOW * (demand - forecast.slow);
}

function plan(forecasts: readonly Forecast[], view: View, setting: Setting): Move[] {
  const placement = new Placement(forecasts, view, setting);
  /** Of equal machines the one that has been longest where it is moves: the wear is shared. */
  const since = (index: number) => view.machines[index]?.since ?? 0;
  let order = setting.machines
    .map((_, index) => index)
    .sort((left, right) => since(left) - since(right) || left - right);
  const moves: Move[] = [];
  const budget = Math.max(1, Math.round(BUDGET_SHARE * setting.machines.length));
  while (moves.length < budget) {
    const best = placement.bestMove(order);
    if (best === null) break;
    placement.make(best);
    order = order.filter((index) => index !== best.machine);
    moves.push(best);
  }
  return moves;
}

/** How many machines each model has, and machine units, while moves are chosen. */
class Placement {
  readonly #forecasts: readonly Forecast[];
  readonly #view: View;
  readonly #setting: Setting;
  readonly #units: number[];
  readonly #held: number[];

  constructor(forecasts: readonly Forecast[], view: View, setting: Setting) {
    this.#forecasts = forecasts;
    this.#view = view;
    this.#setting = setting;
    this.#units = setting.models.map(() => 0);
    this.#held = setting.models.map(() => 0);
    for (const [index, { state, model }] of view.machines.entries()) {
      if (state !== "away" && model !== null) this.#change(index, model, 1);
    }
  }

  /** The move that gains most, if one gains anything. */
  bestMove(order: readonly number[]): Move | null {
    let best: Move | null = null;
    let bestGain = 0;
    /** Machines alike in class and model gain alike: only the first is tried. */
    const tried = new Set<string>();
    for (const index of order) {
      const machine = this.#view.machines[index];
      if (!machine || !movable(machine, this.#view.minute)) continue;
      const kind = `${this.#setting.machines[index]?.fleetClass} ${machine.model}`;
      if (tried.has(kind)) continue;
      tried.add(kind);
      for (const to of this.#setting.models.keys()) {
        const gained = this.#gainOf(index, machine.model, to);
        if (gained > bestGain) [best, bestGain] = [{ machine: index, model: to }, gained];
      }
    }
    return best;
  }

  make({ machine, model }: Move): void {
    const from = this.#view.machines[machine]?.model ?? null;
    if (from !== null) this.#change(machine, from, -1);
    this.#change(machine, model, 1);
  }

  #change(machine: number, model: number, sign: number): void {
    this.#units[model] = (this.#units[model] ?? 0) + sign * this.#speedOf(machine, model);
    this.#held[model] = (this.#held[model] ?? 0) + sign;
  }

  #gainOf(machine: number, from: number | null, to: number): number {
    const { models, switchMinutes } = this.#setting;
    const speed = this.#speedOf(machine, to);
    if (speed === 0 || from === to || (this.#held[to] ?? 0) >= (models[to]?.cap ?? 0)) return 0;
    const there = this.#units[to] ?? 0;
    const useful = Math.max(0, HORIZON_MINUTES - switchMinutes);
    let won = (this.#value(to, there + speed) - this.#value(to, there)) * useful;
    if ((this.#held[to] ?? 0) < (models[to]?.floor ?? 0)) won += 1e6;
    if (from === null) return won + 1e-6;
    if ((this.#held[from] ?? 0) <= (models[from]?.floor ?? 0)) return 0;
    const here = this.#units[from] ?? 0;
    const lost = this.#value(from, here) - this.#value(from, here - this.#speedOf(machine, from));
    return won - lost * HORIZON_MINUTES - GATE_MINUTES;
  }

  #speedOf(machine: number, model: number): number {
    return this.#setting.machines[machine]?.speeds[model] ?? 0;
  }

  #value(model: number, capacity: number): number {
    const { fast = 0, slow = 0, variance = 0 } = this.#forecasts[model] ?? {};
    return expectedServed((fast + slow) / 2, Math.sqrt(variance + 1e-9), capacity);
  }
}

function movable({ state, since }: MachineView, minute: number): boolean {
  return state === "empty" || (state === "ready" && minute - since >= DWELL_MINUTES);
}

/** E[min(D, c)] for a normal D. */
function expectedServed(mean: number, deviation: number, capacity: number): number {
  const u = (capacity - mean) / deviation;
  const density = Math.exp(-0.5 * u * u) / Math.sqrt(2 * Math.PI);
  return mean - deviation * (density - u * upperTail(u));
}

/** The normal distribution's upper tail (Abramowitz and Stegun 26.2.17, error below 1e-7). */
function upperTail(u: number): number {
  const t = 1 / (1 + 0.231_641_9 * Math.abs(u));
  const terms =
    t *
    (0.319_381_53 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
  const tail = (Math.exp(-0.5 * u * u) / Math.sqrt(2 * Math.PI)) * terms;
  return u >= 0 ? tail : 1 - tail;
}
