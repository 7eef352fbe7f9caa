import type { Highs } from "highs";

import { Program } from "./highs.ts";
import type { Scenario } from "./scenario.ts";

/**
 * The time-expanded network of a stretch of minutes, as a linear program. There is a node per group of equal machines,
 * model and minute, and a hub per group and minute. Staying at a node for a minute serves demand; leaving to the hub
 * costs a little (so that no machine moves for nothing) and the hub leads to any model, `switchMinutes` later. Where machines
 * may wait, they may also stay at the hub and serve nothing: caps leave no room for some, and one that comes back just
 * before an outage has no time to load.
 *
 * With one group, serving min(n, d) is three parallel arcs (whole demand, its fraction, idle), which keeps the
 * matrix that of a network: the solution is in whole machines and exact. With several groups the served demand is a
 * variable of its own, the solution may split machines, and its value is an upper bound.
 */
export interface Group {
  readonly machines: readonly number[];
  readonly speeds: readonly number[];
}

/** Per group and model, as [group][model]. */
export type PerNode = readonly (readonly number[])[];

export interface Stretch {
  readonly from: number;
  readonly until: number;
  /** Machines at the nodes of the first minute; free to choose when missing. */
  readonly start?: PerNode;
  /** Machines that become ready later, ordered before the stretch. */
  readonly pending: readonly { readonly minute: number; readonly counts: PerNode }[];
  /** Machines per group that wait at the hub when the stretch begins. */
  readonly waiting?: readonly number[];
  readonly mayWait: boolean;
  readonly floors: boolean;
}

/** Machines per minute (from `from` on), group and model. */
export interface Flow {
  readonly stay: readonly PerNode[];
  readonly out: readonly PerNode[];
  readonly into: readonly PerNode[];
  readonly gone: readonly PerNode[];
  /** Per minute and group: those that are at the hub at its end, and those that an outage took from there. */
  readonly waiting: readonly (readonly number[])[];
  readonly goneWaiting: readonly (readonly number[])[];
}

export const SWITCH_COST = 0.02;

export function solveStretch(
  scenario: Scenario,
  groups: readonly Group[],
  stretch: Stretch,
  highs: Highs,
): Flow | undefined {
  const network = new Network(scenario, groups, stretch);
  const solved = network.program.solve(highs);
  return solved && network.flowOf(solved.values);
}

/** In place of a row or a column that is not there. */
const NONE = -1;

/** The columns of one minute, group and model; staying has up to three. */
interface Arcs {
  readonly stay: readonly number[];
  readonly out: number;
  readonly into: number;
  readonly gone: number;
}

/** Rows of one minute that all groups share, by model; there are none of them for a single group. */
interface SharedRows {
  /** What is served, which is at most what is wanted. */
  readonly served: readonly number[];
  /** Floor and cap. */
  readonly limits: readonly number[];
}

class Network {
  readonly program = new Program();
  readonly #scenario: Scenario;
  readonly #groups: readonly Group[];
  readonly #stretch: Stretch;
  readonly #minutes: number;
  /** Rows per minute, group and model. */
  readonly #nodes: number[][][] = [];
  /** Rows per minute and group. */
  readonly #hubs: number[][] = [];
  /** Per minute, group and model. */
  readonly #arcs: Arcs[][][] = [];
  /** Columns per minute and group. */
  readonly #waiting: number[][] = [];
  readonly #goneWaiting: number[][] = [];

  constructor(scenario: Scenario, groups: readonly Group[], stretch: Stretch) {
    this.#scenario = scenario;
    this.#groups = groups;
    this.#stretch = stretch;
    this.#minutes = stretch.until - stretch.from;
    this.#addRows();
    if (!stretch.start) this.#addStart();
    for (let minute = 0; minute < this.#minutes; minute += 1) this.#addMinute(minute);
  }

  flowOf(values: Float64Array): Flow {
    const read = (column: number) => {
      const value = values[column] ?? 0;
      return Math.abs(value - Math.round(value)) < 1e-6 ? Math.round(value) : value;
    };
    const readAny = (column: number) => (column === NONE ? 0 : read(column));
    const table = (of: (arcs: Arcs) => number) =>
      this.#arcs.map((minute) => minute.map((group) => group.map(of)));
    return {
      stay: table(({ stay }) => stay.reduce((sum, column) => sum + read(column), 0)),
      out: table(({ out }) => readAny(out)),
      into: table(({ into }) => readAny(into)),
      gone: table(({ gone }) => readAny(gone)),
      waiting: this.#waiting.map((minute) => minute.map(readAny)),
      goneWaiting: this.#goneWaiting.map((minute) => minute.map(readAny)),
    };
  }

  #addRows(): void {
    const { start, pending, from, waiting } = this.#stretch;
    for (let minute = 0; minute < this.#minutes; minute += 1) {
      const arriving = pending.filter((one) => one.minute === from + minute);
      this.#nodes.push(
        this.#groups.map((_, group) =>
          this.#scenario.models.map((_model, model) => {
            let supply = minute === 0 ? (start?.[group]?.[model] ?? 0) : 0;
            for (const { counts } of arriving) supply += counts[group]?.[model] ?? 0;
            return this.program.row(supply, supply);
          }),
        ),
      );
      this.#hubs.push(
        this.#groups.map((group, index) => {
          const back = minute === 0 && !start ? 0 : this.#outages(group, "until", minute);
          const there = back + (minute === 0 ? (waiting?.[index] ?? 0) : 0);
          return this.program.row(there, there);
        }),
      );
    }
  }

  /** A free first placement: each group's machines are spread over the models. */
  #addStart(): void {
    for (const [index, { machines, speeds }] of this.#groups.entries()) {
      const all = this.program.row(machines.length, machines.length);
      for (const [model, speed] of speeds.entries()) {
        const node = this.#nodes[0]?.[index]?.[model] ?? NONE;
        this.#arc(0, speed > 0 ? machines.length : 0, all, node);
      }
      if (this.#stretch.mayWait) this.#arc(0, machines.length, all, this.#hubs[0]?.[index] ?? NONE);
    }
  }

  #addMinute(minute: number): void {
    const shared = this.#addSharedRows(minute);
    this.#arcs[minute] = this.#groups.map((group, index) => {
      const leaving = this.#outages(group, "from", minute);
      const lost = leaving > 0 ? this.program.row(leaving, leaving) : NONE;
      const arcs = group.speeds.map((_, model) => this.#addArcs(minute, index, model, shared, lost));
      this.#addWaiting(minute, index, lost);
      return arcs;
    });
  }

  #addSharedRows(minute: number): SharedRows {
    const { models, machines } = this.#scenario;
    if (this.#isSingle) return { served: [], limits: [] };
    const served = models.map((_, model) => {
      const row = this.program.row(Number.NEGATIVE_INFINITY, 0);
      this.program.column(1, 0, this.#wanted(minute, model), [[row, 1]]);
      return row;
    });
    const limits = models.map(({ floor, cap }) => {
      const least = this.#stretch.floors ? floor : 0;
      return cap >= machines.length && least === 0 ? NONE : this.program.row(least, cap);
    });
    return { served, limits };
  }

  /** @param lost the row of the machines that an outage takes from the group, if one does. */
  #addArcs(minute: number, index: number, model: number, shared: SharedRows, lost: number): Arcs {
    const { machines = [], speeds = [] } = this.#groups[index] ?? {};
    const speed = speeds[model] ?? 0;
    const most = speed > 0 ? machines.length : 0;
    const node = (at: number) => this.#nodes[at]?.[index]?.[model] ?? NONE;
    const here = node(minute);
    const hub = this.#hubs[minute]?.[index] ?? NONE;
    const later = minute + this.#scenario.switchMinutes;
    return {
      stay: this.#addStay(minute, model, speed, most, [
        [here, 1],
        [node(minute + 1), -1],
        [shared.served[model] ?? NONE, -speed],
        [shared.limits[model] ?? NONE, 1],
      ]),
      out: this.#arc(-SWITCH_COST, most, here, hub),
      into: this.#arc(0, most, hub, node(later)),
      gone:
        lost === NONE
          ? NONE
          : this.program.column(0, 0, most, [
              [here, 1],
              [lost, 1],
            ]),
    };
  }

  /** Machines that go from one row to another, or to none. */
  #arc(reward: number, most: number, from: number, to: number): number {
    return this.program.column(reward, 0, most, [
      [from, 1],
      [to, -1],
    ]);
  }

  #addWaiting(minute: number, index: number, lost: number): void {
    const waiting = (this.#waiting[minute] ??= []);
    const gone = (this.#goneWaiting[minute] ??= []);
    const most = this.#stretch.mayWait ? (this.#groups[index]?.machines.length ?? 0) : 0;
    const hub = this.#hubs[minute]?.[index] ?? NONE;
    const next = this.#hubs[minute + 1]?.[index] ?? NONE;
    waiting.push(most === 0 ? NONE : this.#arc(0, most, hub, next));
    gone.push(
      most === 0 || lost === NONE
        ? NONE
        : this.program.column(0, 0, most, [
            [hub, 1],
            [lost, 1],
          ]),
    );
  }

  /** The three arcs of a single group; a floor is a lower bound on the first of them that together hold it. */
  #addStay(
    minute: number,
    model: number,
    speed: number,
    most: number,
    ends: readonly (readonly [number, number])[],
  ): number[] {
    if (!this.#isSingle) return [this.program.column(0, 0, most, ends)];
    const { floor = 0, cap = 0 } = this.#scenario.models[model] ?? {};
    let room = Math.min(most, cap);
    let below = this.#stretch.floors ? floor : 0;
    const demand = this.#wanted(minute, model) / (speed || 1);
    const whole = Math.floor(demand);
    const arcs = [
      [whole, speed],
      [1, speed * (demand - whole)],
      [most, 0],
    ] as const;
    return arcs.map(([size, reward]) => {
      const upper = Math.min(size, room);
      const lower = Math.min(upper, below);
      room -= upper;
      below -= lower;
      return this.program.column(reward, lower, upper, ends);
    });
  }

  get #isSingle(): boolean {
    return this.#groups.length === 1;
  }

  #wanted(minute: number, model: number): number {
    return this.#scenario.demand[this.#stretch.from + minute]?.[model] ?? 0;
  }

  #outages(group: Group, end: "from" | "until", minute: number): number {
    const at = this.#stretch.from + minute;
    return this.#scenario.outages.filter((one) => one[end] === at && group.machines.includes(one.machine))
      .length;
  }
}
