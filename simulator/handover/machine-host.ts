import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { M3_ULTRA } from "../../protocol/sample-hardware.ts";
import { Agent } from "../../provider/src/agent.ts";
import type { HeldAssignment } from "../../provider/src/agent/assignment.ts";
import type { Log, OfferedModel, SocketListener, Socket } from "../../provider/src/agent/ports.ts";
import { ProcessClock } from "./clock.ts";
import { copyOf } from "./copy.ts";
import { SimEngine } from "./engine.ts";
import { Wire } from "./wire.ts";
import type { World } from "./world.ts";

/** One Mac: its disk, which survives, and the provider program on it, which may crash at any moment. */
export class MachineHost {
  readonly id: MachineId;
  readonly models: readonly ModelId[];
  /** The last of its models is on its disk from then on. */
  readonly #isWholeAt: number;
  /** Serves its owner only. */
  isPrivate = false;
  readonly wires = new Set<Wire>();
  version = "0.7.0";
  /** It was too old or private in one of its lives, and word of that may still be under way. */
  wasUnmanageable = false;
  owner = "owner";
  /** Models that its owner has asked it for. It leaves the assigned one for them (H21). */
  readonly askedByOwner = new Set<string>();
  /** What the provider has written down. */
  disk: HeldAssignment | null = null;
  /** What it had written down before, for somebody to restore. */
  readonly #backups: (HeldAssignment | null)[] = [null];
  engine: SimEngine | null = null;
  agent: Agent | null = null;
  readonly #world: World;
  /** Disks of other owners, whose machines go by this one's id. */
  readonly #disks = new Map<string, HeldAssignment | null>();
  #process: ProcessClock | null = null;

  constructor(world: World, id: MachineId, models: readonly ModelId[]) {
    this.#world = world;
    this.id = id;
    this.models = models;
    const wait = world.hooks.hasRareFaults ? world.dice.whole(0, LONGEST_DOWNLOAD_MS) : 0;
    this.#isWholeAt = world.clock.now() + wait;
  }

  /** Every other one proves its key: programs of both kinds take over from each other. */
  get #attests(): boolean {
    return this.#world.machines.findIndex(({ id }) => id === this.id) % 2 === 0;
  }

  /** Stands for both halves of a pair of keys. */
  key(): string {
    return `key-${this.id}-${this.owner}`;
  }

  get isRunning(): boolean {
    return this.#process !== null;
  }

  /** The model that it has to hold. One that serves its owner only is never managed, whatever it has written down (C17). */
  get assigned(): ModelId | null {
    return this.isPrivate ? null : (this.disk?.modelId ?? null);
  }

  get sleepsForMs(): number {
    return this.#process?.sleepsForMs ?? 0;
  }

  /** Whether the socket belongs to the program that runs now. */
  runs(wire: Wire): boolean {
    return this.wires.has(wire);
  }

  start(): void {
    if (this.#process !== null) return;
    const { clock, dice } = this.#world;
    const process = new ProcessClock(clock);
    this.#process = process;
    this.#world.log(() => `${this.id} starts, version ${this.version}, disk ${this.assignment()}`);
    const engine = this.#engineIn(process);
    this.engine = engine;
    const agent = new Agent(
      {
        version: this.version,
        machineId: this.id,
        sessionId: this.#world.nextSession(),
        publicKey: this.key(),
        hardware: M3_ULTRA,
        models: this.#onDisk().map(fileOf),
        firstModel: this.models[0] ?? null,
        slots: 2,
        contextTokens: 4096,
        privateOnly: this.isPrivate,
        assignment: copyOf(this.disk),
      },
      {
        clock: process,
        random: () => dice.next(),
        dial: (pool, listener) => this.#dial(pool, listener),
        engine,
        createAnswerEncoder: () => ({ encode: () => EVENT, finish: () => END }),
        vitals: () => ({ memoryFreeGb: 100, memoryPressure: 0.1, thermalState: "nominal" }),
        saveAssignment: (held) => {
          if (process.isAlive) this.#save(held);
        },
        attester: this.#attests
          ? { sign: (text) => `${this.key()} ${text.slice(0, 40)}`, certificateChain: () => [] }
          : null,
        log: QUIET,
      },
    );
    this.agent = agent;
    void this.#endWith(agent, process);
    const [coming] = this.models.slice(this.#onDisk().length);
    if (coming !== undefined) {
      process.after(this.#isWholeAt - clock.now(), () => agent.offer(fileOf(coming)));
    }
    agent.start();
  }

  /** It serves while the last one is being downloaded, if it has another. */
  #onDisk(): readonly ModelId[] {
    const isWhole = this.#world.clock.now() >= this.#isWholeAt;
    return isWhole || this.models.length === 1 ? this.models : this.models.slice(0, -1);
  }

  #engineIn(process: ProcessClock): SimEngine {
    const { dice, network, invariants } = this.#world;
    return new SimEngine({
      clock: process,
      dice,
      isFaulty: () => !network.isCalm,
      onBreach: (what) => invariants.breach(`${this.id}: ${what}`),
      onLoad: (model) => {
        const assigned = this.assigned ?? model;
        if (assigned === model || this.askedByOwner.has(model)) return;
        invariants.breach(`[F14] ${this.id} loads ${model} but holds ${this.assignment()}`);
      },
      onDropped: (model, under) => invariants.onDropped(this, model, under, process.isAlive),
      assignment: () => this.assignment(),
    });
  }

  #save(held: HeldAssignment): void {
    const { hooks, invariants } = this.#world;
    const before = this.disk?.epoch ?? 0;
    this.#backups.push(this.disk);
    this.disk = hooks.saved(this, copyOf(held));
    if (this.disk.epoch < before) {
      invariants.breach(`[H9] ${this.id} falls from epoch ${before} to ${this.assignment()}`);
    }
    this.#world.log(() => `${this.id} writes ${this.assignment()}`);
  }

  async #endWith(agent: Agent, process: ProcessClock): Promise<void> {
    await agent.finished;
    if (this.#process === process) this.kill();
  }

  /** The owner stops the program in order: it ends what it does, says so and goes. */
  quit(): void {
    const { agent } = this;
    this.#process?.after(0, () => agent?.stop());
  }

  /** Its lid is closed for a while. Its connections do not survive that, and it may not notice at once. */
  sleep(forMs: number): void {
    if (this.#process === null || this.sleepsForMs > 0) return;
    const { dice } = this.#world;
    this.#world.log(() => `${this.id} sleeps for ${forMs} ms`);
    this.#process.sleep(forMs);
    const noticedMs = (): number => (dice.chance(0.4) ? 200_000 : dice.whole(0, 5000));
    for (const wire of this.wires) if (!wire.agentEnded) wire.cut(forMs + noticedMs(), noticedMs());
  }

  /** What it has written down is lost, or as it was at some time before. */
  restore(): void {
    const { dice } = this.#world;
    this.kill();
    this.disk = dice.chance(0.5) ? null : dice.pick(this.#backups);
    this.#world.log(() => `${this.id} has ${this.assignment()} again`);
  }

  /** The owner keeps it to himself for a while, or not. */
  reserve(because: string | null): void {
    const { agent } = this;
    this.#process?.after(0, () => agent?.reserve(because));
  }

  /** Another Mac with a copy of this one's disk, and so with its id, key and assignment. */
  clone(): MachineHost {
    const clone = new MachineHost(this.#world, this.id, this.models);
    clone.version = this.version;
    clone.isPrivate = this.isPrivate;
    clone.owner = this.owner;
    clone.disk = copyOf(this.disk);
    return clone;
  }

  /** From now on it is another's machine that goes by this id, with another key and another disk. */
  passTo(owner: string): void {
    if (owner === this.owner) return;
    this.kill();
    this.#disks.set(this.owner, this.disk);
    this.owner = owner;
    this.disk = this.#disks.get(owner) ?? null;
    this.#world.log(() => `${this.id} is ${owner}'s`);
  }

  /** The program is gone from one moment to the next. */
  kill(): void {
    if (this.#process === null) return;
    this.#world.log(() => `${this.id} is killed`);
    this.#process.isAlive = false;
    this.#process = null;
    this.agent = null;
    this.engine = null;
    const { network, dice } = this.#world;
    for (const wire of this.wires) {
      if (!wire.agentEnded) wire.cut(0, network.fails(0.2) ? dice.whole(1000, 90_000) : network.delayMs());
    }
    this.wires.clear();
  }

  /** The disk's words, for comparisons and logs. */
  assignment(): string {
    return this.disk === null ? "none" : `${this.disk.modelId ?? "nothing"}@${this.disk.epoch}`;
  }

  #dial(pool: ModelId, listener: SocketListener): Socket {
    const wire = new Wire(this.#world, this, listener);
    this.wires.add(wire);
    this.#world.worker.connect(wire, pool);
    return wire.agentEnd;
  }
}

const LONGEST_DOWNLOAD_MS = 400_000;

function fileOf(id: ModelId): OfferedModel {
  return { id, path: `/models/${id}`, sizeBytes: 1000 };
}

const EVENT = new TextEncoder().encode("data: a\n\n");
const END = new TextEncoder().encode("data: [DONE]\n\n");

const nothing = (): void => {};
const QUIET: Log = { info: nothing, warn: nothing, error: nothing };
