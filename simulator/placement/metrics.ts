import type { DoneMove } from "./policy.ts";
import type { Scenario } from "./scenario.ts";

/** The seven metrics, each recomputable from demand, ready machines and moves alone. */
export interface Metrics {
  /** Served demand over that of the optimum. */
  readonly m1: number;
  /** Part of what adapting can gain over the best static placement; null where there is nothing to gain. */
  readonly m2: number | null;
  /** Switches per machine-day, on average and for the worst machine (null where machines have no names). */
  readonly m3_mean: number;
  readonly m3_worst: number | null;
  /** Part of the switches that go back to the model left within 15 minutes. */
  readonly m3_back: number | null;
  /** Minutes after the slowest-recovered step; null without a step. */
  readonly m4_minutes: number | null;
  readonly m4_mean: number | null;
  readonly m4_steps: number;
  /** The worst model's served over demand, relative to its value in the optimum with floors. */
  readonly m5_worst: number | null;
  /** Idle here while demand is unmet there, over machine time. */
  readonly m6: number;
  /** Requests refused while a ready machine of their model had room, in the minutes in which requests were routed singly. */
  readonly m7: number;
  /** Served over demand, for scale. */
  readonly goodput: number;
}

export type Table = readonly (readonly number[])[];

export interface Yardsticks {
  readonly optimum: Table;
  readonly bestStatic: Table;
  readonly withFloors: Table | undefined;
}

export function metricsOf(
  scenario: Scenario,
  ready: Table,
  moves: readonly DoneMove[],
  yardsticks: Yardsticks,
  switches = moves.filter((move) => move.from !== null).length,
): Omit<Metrics, "m7"> {
  const { demand } = scenario;
  const served = sum(servedPerMinute(demand, ready));
  const optimum = sum(servedPerMinute(demand, yardsticks.optimum));
  const still = sum(servedPerMinute(demand, yardsticks.bestStatic));
  const named = moves.length > 0;
  const machineDays = (scenario.machines.length * demand.length) / 1440;
  const recoveries = stepsOf(scenario).map((step) => recovery(step, demand, ready, yardsticks.optimum));
  return {
    m1: served / optimum,
    m2: optimum - still > 1e-9 * optimum ? (served - still) / (optimum - still) : null,
    m3_mean: switches / machineDays,
    m3_worst: named ? worstMachine(moves) / (demand.length / 1440) : null,
    m3_back: named ? backAndForth(moves) / Math.max(1, switches) : null,
    m4_minutes: recoveries.length > 0 ? Math.max(...recoveries) : null,
    m4_mean: recoveries.length > 0 ? sum(recoveries) / recoveries.length : null,
    m4_steps: recoveries.length,
    m5_worst: yardsticks.withFloors ? worstModel(demand, ready, yardsticks.withFloors) : null,
    m6: mismatchedIdle(demand, ready) / (scenario.machines.length * demand.length),
    goodput: served / sum(demand.map(sum)),
  };
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

export function servedPerMinute(demand: Table, ready: Table): number[] {
  return demand.map((row, minute) =>
    sum(row.map((wanted, model) => Math.min(wanted, ready[minute]?.[model] ?? 0))),
  );
}

export function mismatchedIdle(demand: Table, ready: Table): number {
  let total = 0;
  for (const [minute, row] of demand.entries()) {
    let idle = 0;
    let unmet = 0;
    for (const [model, wanted] of row.entries()) {
      const there = ready[minute]?.[model] ?? 0;
      idle += Math.max(0, there - wanted);
      unmet += Math.max(0, wanted - there);
    }
    total += Math.min(idle, unmet);
  }
  return total;
}

function worstMachine(moves: readonly DoneMove[]): number {
  const counts = new Map<number, number>();
  for (const { machine, from } of moves)
    if (from !== null) counts.set(machine, (counts.get(machine) ?? 0) + 1);
  return Math.max(0, ...counts.values());
}

const BACK_MINUTES = 15;

/** Switches that go back to what the machine's last switch has left. An empty machine that is given a model does not switch. */
export function backAndForth(moves: readonly DoneMove[]): number {
  const previous = new Map<number, DoneMove>();
  let count = 0;
  for (const move of moves) {
    if (move.from === null) continue;
    const before = previous.get(move.machine);
    if (before && before.from === move.to && move.minute - before.minute <= BACK_MINUTES) count += 1;
    previous.set(move.machine, move);
  }
  return count;
}

function worstModel(demand: Table, ready: Table, reference: Table): number {
  const models = demand[0]?.length ?? 0;
  let worst = Number.POSITIVE_INFINITY;
  for (let model = 0; model < models; model += 1) {
    const servedBy = (table: Table) =>
      sum(demand.map((row, minute) => Math.min(row[model] ?? 0, table[minute]?.[model] ?? 0)));
    const best = servedBy(reference);
    if (best > 0) worst = Math.min(worst, servedBy(ready) / best);
  }
  return worst;
}

const STEP_MINUTES = 15;
const STEP_SHARE = 0.15;
const STEP_APART = 60;

/**
 * Minutes at which the demand of the models shifts against each other by 15 % of the fleet or more: half the sum of
 * the changes between the 15 minutes before and after, at its local peak, an hour apart at least.
 */
export function stepsOf({ demand, machines, models }: Scenario): number[] {
  const sums = [models.map(() => 0)];
  for (const row of demand) sums.push(row.map((wanted, model) => wanted + (sums.at(-1)?.[model] ?? 0)));
  const shift = (minute: number): number => {
    const mean = (from: number, model: number) =>
      ((sums[from + STEP_MINUTES]?.[model] ?? 0) - (sums[from]?.[model] ?? 0)) / STEP_MINUTES;
    return (
      sum(models.map((_, model) => Math.abs(mean(minute, model) - mean(minute - STEP_MINUTES, model)))) / 2
    );
  };
  const found: { minute: number; size: number }[] = [];
  for (let minute = STEP_MINUTES; minute + STEP_MINUTES <= demand.length; minute += 1) {
    const size = shift(minute);
    const last = found.at(-1);
    if (size < STEP_SHARE * machines.length) continue;
    if (!last || minute - last.minute >= STEP_APART) found.push({ minute, size });
    else if (size > last.size) found[found.length - 1] = { minute, size };
  }
  return found.map(({ minute }) => minute);
}

const RECOVERY_MAX = 120;

const RECOVERED_MINUTES = 5;

/** The first minute after the step from which five minutes serve 95 % of what the optimum does in them, if the trace has them. */
export function recovery(step: number, demand: Table, ready: Table, optimum: Table): number {
  const over = (table: Table, from: number) =>
    sum(
      servedPerMinute(
        demand.slice(from, from + RECOVERED_MINUTES),
        table.slice(from, from + RECOVERED_MINUTES),
      ),
    );
  const last = Math.min(RECOVERY_MAX - 1, demand.length - RECOVERED_MINUTES - step);
  for (let after = 0; after <= last; after += 1) {
    if (over(ready, step + after) >= 0.95 * over(optimum, step + after)) return after;
  }
  return RECOVERY_MAX;
}
