import type { MachineView, Move } from "./policy.ts";
import { randomFrom } from "./random.ts";
import type { Scenario } from "./scenario.ts";

/**
 * The machines on the virtual clock: drain, load, ready, failed, away. This is the one place that knows how a switch
 * goes, so that the coordinator's own fleet code can take its place. A switch ordered in minute t serves nothing for
 * `switchMinutes` and is ready, or has failed, in minute t + switchMinutes. A machine that comes back loads its last
 * model again. Whether the k-th load of a machine fails depends on the seed, the machine and k alone.
 */
export interface DoneMove {
  readonly minute: number;
  readonly machine: number;
  readonly from: number | null;
  readonly to: number;
}

interface Mutable {
  state: MachineView["state"];
  model: number | null;
  since: number;
  readyAt: number;
  loads: number;
}

export class Machines {
  readonly moves: DoneMove[] = [];
  readonly #machines: Mutable[];
  readonly #scenario: Scenario;

  constructor(scenario: Scenario, placement: readonly number[]) {
    this.#scenario = scenario;
    this.#machines = placement.map((model, machine) => {
      this.moves.push({ minute: 0, machine, from: null, to: model });
      return { state: "ready", model, since: 0, readyAt: 0, loads: 0 };
    });
  }

  /** Lets happen what this minute brings: machines go, come back, become ready or fail. */
  advance(minute: number): void {
    for (const outage of this.#scenario.outages) {
      const machine = this.#machines[outage.machine];
      if (machine && outage.from === minute) machine.state = "away";
      if (machine && outage.until === minute) this.#load(machine, minute);
    }
    for (const [index, machine] of this.#machines.entries()) {
      if (machine.state === "switching" && machine.readyAt <= minute) this.#finish(machine, index);
    }
  }

  /** Starts the moves that are possible and drops the others. */
  order(moves: readonly Move[], minute: number): void {
    for (const { machine: index, model } of moves) {
      const machine = this.#machines[index];
      const fits = (this.#scenario.machines[index]?.speeds[model] ?? 0) > 0;
      if (!machine || !fits || machine.state === "away" || machine.state === "switching") continue;
      if (machine.state === "ready" && machine.model === model) continue;
      this.moves.push({ minute, machine: index, from: machine.model, to: model });
      machine.model = model;
      this.#load(machine, minute);
      if (this.#scenario.switchMinutes === 0) this.#finish(machine, index);
    }
  }

  views(): readonly MachineView[] {
    return this.#machines;
  }

  /** Machine units that can serve, per model. */
  ready(): number[] {
    const ready = this.#scenario.models.map(() => 0);
    for (const [index, { state, model }] of this.#machines.entries()) {
      if (state !== "ready" || model === null) continue;
      ready[model] = (ready[model] ?? 0) + (this.#scenario.machines[index]?.speeds[model] ?? 0);
    }
    return ready;
  }

  #load(machine: Mutable, minute: number): void {
    machine.state = machine.model === null ? "empty" : "switching";
    machine.since = minute;
    machine.readyAt = minute + this.#scenario.switchMinutes;
  }

  #finish(machine: Mutable, index: number): void {
    const { seed, loadFailures } = this.#scenario;
    const draw = randomFrom(seed * 1_000_003 + index * 7919 + machine.loads * 104_729)();
    machine.loads += 1;
    if (draw < loadFailures) {
      machine.state = "empty";
      machine.model = null;
    } else machine.state = "ready";
  }
}
