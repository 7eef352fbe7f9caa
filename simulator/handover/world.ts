import { machineIdSchema, modelIdSchema, type MachineId, type ModelId } from "../../protocol/ids.ts";
import { SimClock, takeTurns } from "./clock.ts";
import { whatIsWrong } from "./convergence.ts";
import { Faults } from "./faults.ts";
import { FleetHost } from "./fleet-host.ts";
import { Hooks } from "./hooks.ts";
import { Invariants } from "./invariants.ts";
import { MachineHost } from "./machine-host.ts";
import { Network } from "./network.ts";
import { PoolHost } from "./pool-host.ts";
import { Dice } from "./random.ts";
import { Worker } from "./worker.ts";

/**
 * A whole fleet on one virtual clock: the real control plane, the real pools and the real providers, with an unreliable
 * network, crashes and operators. Everything is determined by the seed.
 */

/** A run with more steps than this is in an endless loop. */
const MAX_STEPS = 200_000;
/** Clients go on after the last fault, to find machines that only seem to serve. */
const CLIENTS_AFTER_MS = 300_000;
const CALM_MS = 15 * 60_000;
/** Enough for the last move that placement may have begun, and for the pools to forget the machine that has moved. */
const REST_MS = 4 * 60_000;
const MOST_SKEW_MS = 2_000;

export interface RunResult {
  readonly seed: number;
  /** The invariant that was broken; null if none was. */
  readonly breach: string | null;
  readonly steps: number;
  /** How many machines operators have deleted. */
  readonly deletions: number;
  /** The kinds of rare faults that happened. */
  readonly rareFaults: ReadonlySet<string>;
  readonly log: readonly string[];
}

export class World {
  readonly clock = new SimClock();
  readonly dice: Dice;
  readonly hooks: Hooks;
  readonly network: Network;
  readonly invariants: Invariants;
  readonly models: readonly ModelId[];
  readonly pools: readonly PoolHost[];
  readonly fleet: FleetHost;
  readonly machines: readonly MachineHost[];
  readonly worker: Worker;
  /** The model of each request, by its id. */
  readonly requested = new Map<string, ModelId>();
  /** Requests that owners have sent to machines of their own. */
  readonly requestedByOwners = new Set<string>();
  /** The operators' last order for each machine: a model, null for none, absent if the outcome is not determined. */
  readonly wanted = new Map<MachineId, ModelId | null>();
  readonly lines: string[] = [];
  deletions = 0;
  readonly rareFaults = new Set<string>();
  /** Placement gives orders too, so a machine that operators have released may be assigned again. */
  isPlacing = false;
  /** The state has changed, so the invariants have to be checked. */
  isDirty = false;
  #sessions = 0;
  #requests = 0;
  #steps = 0;
  readonly #keepsLog: boolean;
  readonly #startedAt = this.clock.now();

  constructor(seed: number, hooks: Hooks, keepsLog: boolean) {
    this.dice = new Dice(seed);
    this.hooks = hooks;
    this.#keepsLog = keepsLog;
    this.network = new Network(this.clock, this.dice);
    this.invariants = new Invariants(this);
    this.worker = new Worker(this);
    this.models = ["alpha", "beta", "gamma"]
      .slice(0, this.dice.whole(2, 3))
      .map((id) => modelIdSchema.parse(id));
    this.pools = this.models.map((model) => new PoolHost(this, model));
    this.fleet = new FleetHost(this, this.models);
    this.machines = Array.from({ length: this.dice.whole(3, 5) }, (_, i) => {
      const models = this.models.filter(() => this.dice.chance(0.85));
      const id = machineIdSchema.parse(`mac-${i + 1}`);
      return new MachineHost(this, id, models.length > 0 ? models : this.models.slice(0, 1));
    });
  }

  /** A random clock skew of a host of the platform. */
  skewMs(): number {
    return this.hooks.hasRareFaults ? this.dice.whole(-MOST_SKEW_MS, MOST_SKEW_MS) : 0;
  }

  /** How far an object's clock may jump between two instances. */
  get mostClockJumpMs(): number {
    return this.hooks.hasRareFaults ? 2 * MOST_SKEW_MS : 0;
  }

  nextRequest(): string {
    return `req_${++this.#requests}`;
  }

  nextSession(): string {
    return `session-${++this.#sessions}`;
  }

  log(line: () => string): void {
    if (!this.#keepsLog) return;
    const at = ((this.clock.now() - this.#startedAt) / 1000).toFixed(3).padStart(9);
    this.lines.push(`${at} ${line()}`);
  }

  poolOf(name: string): PoolHost {
    const pool = this.pools.find(({ model }) => model === name);
    if (pool === undefined) throw new Error(`no pool ${name}`);
    return pool;
  }

  /** @returns the number of steps. */
  async run(): Promise<number> {
    const faults = new Faults(this);
    for (const machine of this.machines) this.clock.after(this.dice.whole(0, 3000), () => machine.start());
    const faultsMs = this.dice.whole(60_000, 480_000);
    const calmAt = this.clock.now() + faultsMs;
    faults.start(calmAt, calmAt + CLIENTS_AFTER_MS);
    await this.#runUntil(calmAt);
    this.log(() => "CALM");
    this.network.isCalm = true;
    faults.end();
    await this.#runUntil(calmAt + CALM_MS - REST_MS);
    faults.rest();
    await this.#runUntil(calmAt + CALM_MS);
    if (this.invariants.first === null) {
      const wrong = whatIsWrong(this);
      if (wrong.length > 0) this.invariants.breach(`[end] ${wrong.join("; ")}`);
    }
    return this.#steps;
  }

  /** Runs what is due by then, and checks the invariants after each step. */
  #runUntil(until: number): Promise<void> {
    return takeTurns(() => {
      if (this.isDirty) {
        this.isDirty = false;
        this.invariants.check();
      }
      if (this.invariants.first !== null || !this.clock.step(until)) return false;
      this.#steps += 1;
      if (this.#steps > MAX_STEPS) this.invariants.breach("[end] the run does not come to rest");
      return true;
    });
  }
}

/** Plays one seed. @param keepsLog whether to record a log, which makes it slower. */
export async function play(seed: number, hooks = new Hooks(), keepsLog = false): Promise<RunResult> {
  const undo = hooks.install();
  try {
    const world = new World(seed, hooks, keepsLog);
    const steps = await world.run();
    const { deletions, invariants, lines, rareFaults } = world;
    return { seed, breach: invariants.first, steps, deletions, rareFaults, log: lines };
  } finally {
    undo();
  }
}
