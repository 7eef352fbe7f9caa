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

type Columns = number[][][];

class Network {
  readonly program = new Program();
  readonly #scenario: Scenario;
  readonly #groups: readonly Group[];
  readonly #stretch: Stretch;
  readonly #minutes: number;
  readonly #nodes: Columns = [];
  readonly #hubs: number[][] = [];
  /** Columns per minute, group and model; staying has up to three. */
  readonly #stay: number[][][][] = [];
  readonly #out: Columns = [];
  readonly #into: Columns = [];
  readonly #gone: Columns = [];
  /** Columns per minute and group, -1 where there is none. */
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
    const readAny = (column: number) => (column < 0 ? 0 : read(column));
    const table = (columns: Columns) => columns.map((minute) => minute.map((group) => group.map(readAny)));
    const stay = this.#stay.map((minute) =>
      minute.map((group) => group.map((arcs) => arcs.reduce((sum, column) => sum + read(column), 0))),
    );
    return {
      stay,
      out: table(this.#out),
      into: table(this.#into),
      gone: table(this.#gone),
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
    for (const [index, group] of this.#groups.entries()) {
      const all = this.program.row(group.machines.length, group.machines.length);
      for (const [model, speed] of group.speeds.entries()) {
        const node = this.#nodes[0]?.[index]?.[model] ?? -1;
        this.program.column(0, 0, speed > 0 ? group.machines.length : 0, [
          [all, 1],
          [node, -1],
        ]);
      }
      if (this.#stretch.mayWait) {
        this.program.column(0, 0, group.machines.length, [
          [all, 1],
          [this.#hubs[0]?.[index] ?? -1, -1],
        ]);
      }
    }
  }

  #addMinute(minute: number): void {
    const { switchMinutes, models, demand } = this.#scenario;
    const wanted = demand[this.#stretch.from + minute] ?? [];
    const later = minute + switchMinutes;
    const single = this.#groups.length === 1;
    const served = models.map((_, model) => {
      if (single) return -1;
      const row = this.program.row(Number.NEGATIVE_INFINITY, 0);
      this.program.column(1, 0, wanted[model] ?? 0, [[row, 1]]);
      return row;
    });
    const limits = models.map(({ floor, cap }) => {
      if (single || (cap >= this.#scenario.machines.length && !(this.#stretch.floors && floor > 0)))
        return -1;
      return this.program.row(this.#stretch.floors ? floor : 0, cap);
    });
    this.#stay[minute] = [];
    this.#out[minute] = [];
    this.#into[minute] = [];
    this.#gone[minute] = [];
    for (const [index, group] of this.#groups.entries()) {
      const node = (model: number, at: number) => this.#nodes[at]?.[index]?.[model] ?? -1;
      const hub = this.#hubs[minute]?.[index] ?? -1;
      const leaving = this.#outages(group, "from", minute);
      const lost = leaving > 0 ? this.program.row(leaving, leaving) : -1;
      const stay: number[][] = [];
      const out: number[] = [];
      const into: number[] = [];
      const gone: number[] = [];
      for (const [model, speed] of group.speeds.entries()) {
        const most = speed > 0 ? group.machines.length : 0;
        const here = node(model, minute);
        const ends = [
          [here, 1],
          [node(model, minute + 1), -1],
        ] as const;
        stay[model] = single
          ? this.#staySingle(model, (wanted[model] ?? 0) / (speed || 1), speed, most, ends)
          : [
              this.program.column(0, 0, most, [
                ...ends,
                [served[model] ?? -1, -speed],
                [limits[model] ?? -1, 1],
              ]),
            ];
        out[model] = this.program.column(-SWITCH_COST, 0, most, [
          [here, 1],
          [hub, -1],
        ]);
        into[model] = this.program.column(0, 0, most, [
          [hub, 1],
          [node(model, later), -1],
        ]);
        gone[model] =
          leaving > 0
            ? this.program.column(0, 0, most, [
                [here, 1],
                [lost, 1],
              ])
            : -1;
      }
      this.#stay[minute]?.push(stay);
      this.#out[minute]?.push(out);
      this.#into[minute]?.push(into);
      this.#gone[minute]?.push(gone);
      this.#addWaiting(minute, index, lost);
    }
  }

  #addWaiting(minute: number, index: number, lost: number): void {
    const waiting = (this.#waiting[minute] ??= []);
    const gone = (this.#goneWaiting[minute] ??= []);
    const most = this.#stretch.mayWait ? (this.#groups[index]?.machines.length ?? 0) : 0;
    const from = [this.#hubs[minute]?.[index] ?? -1, 1] as const;
    const next = [this.#hubs[minute + 1]?.[index] ?? -1, -1] as const;
    waiting.push(most === 0 ? -1 : this.program.column(0, 0, most, [from, next]));
    gone.push(most === 0 || lost < 0 ? -1 : this.program.column(0, 0, most, [from, [lost, 1]]));
  }

  /** The three arcs; a floor is a lower bound on the first of them that together hold it. */
  #staySingle(
    model: number,
    demand: number,
    speed: number,
    most: number,
    ends: readonly (readonly [number, number])[],
  ): number[] {
    const { floor = 0, cap = 0 } = this.#scenario.models[model] ?? {};
    let room = Math.min(most, cap);
    let below = this.#stretch.floors ? floor : 0;
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

  #outages(group: Group, end: "from" | "until", minute: number): number {
    const at = this.#stretch.from + minute;
    return this.#scenario.outages.filter((one) => one[end] === at && group.machines.includes(one.machine))
      .length;
  }
}
