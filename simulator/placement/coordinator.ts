import { parseCatalog } from "../../core/catalog.ts";
import { FLAG_NAMES, type FlagName } from "../../core/flags.ts";
import { ControlPlane } from "../../core/fleet/control-plane.ts";
import type { Intent } from "../../core/fleet/machine.ts";
import { perform, type PoolCall } from "../../core/pool/calls.ts";
import type { Connection } from "../../core/pool/connection.ts";
import { EMPTY_LEDGER } from "../../core/pool/ledger.ts";
import { Pool } from "../../core/pool/pool.ts";
import { NO_SLEEPERS } from "../../core/pool/ports.ts";
import { INITIAL_SETTINGS } from "../../core/pool/settings.ts";
import { modelIdSchema, type MachineId, type ModelId } from "../../protocol/ids.ts";
import type { SimClock } from "../handover/clock.ts";
import {
  MemoryCordonStore,
  MemoryFleetStore,
  MemoryPlacementStore,
  MemoryRecordStore,
} from "../handover/stores.ts";
import type { MachineSocket } from "./machine.ts";
import { type Random, randomFrom } from "./random.ts";
import type { Scenario } from "./scenario.ts";

/**
 * The real control plane and the real pools, with disks in memory and a network on which everything arrives at once and nothing is
 * lost: what one object says to another waits in a line until the speaker has finished. Their alarms are events of the virtual clock.
 */

/** Streams a machine decodes at once; see `machine.ts` for what they make of a machine unit. */
export const SLOTS = 4;

/** More than enough for one moment; a longer line goes round in circles. */
const MESSAGES_MAX = 1_000_000;

export class Coordinator {
  readonly clock: SimClock;
  readonly control: ControlPlane;
  /** In the order of the scenario's models. */
  readonly pools: readonly Pool[];
  /** Called with each order that gives a machine a model. */
  onOrder: (intent: Intent, before: Intent | null) => void = () => {};
  readonly #byModel = new Map<string, Pool>();
  readonly #line: (() => void)[] = [];
  readonly #alarms = new Map<object, { readonly at: number; readonly cancel: () => void }>();
  /** Whether the coordinator itself plans. */
  readonly #places: boolean;
  readonly #random: Random;
  #isRunning = false;

  constructor(scenario: Scenario, clock: SimClock, flags: Readonly<Partial<Record<FlagName, string>>>) {
    this.clock = clock;
    this.#random = randomFrom(scenario.seed);
    this.#places = flags.placement !== undefined && flags.placement !== "off";
    this.pools = scenario.models.map((_, model) => this.#pool(idOf(model)));
    for (const pool of this.pools) this.#byModel.set(pool.model, pool);
    const store = new ObservedStore((intent, before) => this.onOrder(intent, before));
    this.control = new ControlPlane({
      callPool: (name, call) => this.#callPool(name, call),
      isRevoked: () => false,
      onEpochsUsedUp: (machineId) => {
        throw new Error(`the epochs of ${machineId} are used up`);
      },
      newestProvider: "0.7.0",
      store,
      plans: new MemoryPlacementStore(),
    });
    this.control.directory.catalog = catalogOf(scenario);
    for (const name of FLAG_NAMES) {
      const value = flags[name];
      const problem = value === undefined ? null : this.control.flagBook.set(name, value);
      if (problem !== null) throw new Error(problem);
    }
    this.act(() => this.control.configurePools(clock.now()));
  }

  /** Does something at this moment, and all that follows from it. */
  act<T>(what: () => T): T {
    const result = what();
    if (this.#isRunning) return result;
    this.#isRunning = true;
    for (let done = 0; this.#line.length > 0; done += 1) {
      if (done > MESSAGES_MAX) throw new Error("the coordinator does not come to rest");
      for (const next of this.#line.splice(0)) next();
    }
    this.#isRunning = false;
    this.#arm();
    return result;
  }

  /** Something that arrives when the present speaker has finished. */
  later(what: () => void): void {
    this.#line.push(what);
  }

  /** A machine dials the pool it belongs to, or the one it names. @returns null if it may not. */
  dial(
    machineId: MachineId,
    named: ModelId,
    socket: MachineSocket,
  ): { pool: Pool; connection: Connection } | null {
    const now = this.clock.now();
    const identity = { machineId, owner: "simulation", tokenId: "simulation" };
    const verdict = this.control.dial(identity, named, now);
    if (!verdict.ok) return null;
    const pool = this.#byModel.get(verdict.pool);
    if (pool?.mayConnect(machineId, verdict.stamp, now) !== true) return null;
    return { pool, connection: pool.connect(socket, { ...identity, acceptedAt: now }, null) };
  }

  #pool(model: ModelId): Pool {
    const disk = new MemoryRecordStore();
    const pool: Pool = new Pool(
      model,
      {
        askFleet: (connection, question) =>
          this.later(() => {
            const admission = this.control.register(question, this.clock.now());
            this.later(() => pool.admitted(connection, admission, this.clock.now()));
          }),
        tellFleet: (news) => this.later(() => this.control.told(model, news, this.clock.now())),
        askSupply: () =>
          this.later(() => {
            const now = this.clock.now();
            pool.configure(this.control.settingsFor(model, now), now);
          }),
        records: disk,
        cordons: new MemoryCordonStore(),
        saveSettings: () => {},
        rememberMachine: () => {},
        forgetMachine: () => {},
        ended: () => {},
        random: this.#random,
        nonce: () => "",
        verifyProof: () => {},
      },
      { sleepers: NO_SLEEPERS, remembered: () => [], settings: INITIAL_SETTINGS, ledger: EMPTY_LEDGER },
      this.clock.now(),
    );
    return pool;
  }

  #callPool(name: string, call: PoolCall): void {
    const pool = this.#byModel.get(name);
    if (pool === undefined) throw new Error(`no pool ${name}`);
    this.later(() => {
      const reply = perform(pool, call, this.clock.now());
      this.later(() => this.control.replied(name, call, reply, this.clock.now()));
    });
  }

  /** Sets the alarms of all objects as their shells do. */
  #arm(): void {
    const now = this.clock.now();
    const { control } = this;
    this.#alarm(
      control,
      Math.min(control.tickDueAt(now) ?? Infinity, control.nextWakeAt() ?? Infinity),
      () => {
        const isTick = this.clock.now() >= (control.tickDueAt(this.clock.now()) ?? Infinity);
        this.act(() => (isTick ? control.tick(this.clock.now()) : control.retry(this.clock.now())));
        if (isTick && this.#places) this.act(() => control.place(this.clock.now()));
      },
    );
    for (const pool of this.pools) {
      const at = Math.min(pool.nextTickAt(now) ?? Infinity, pool.nextDeadlineAt() ?? Infinity);
      this.#alarm(pool, at, () => this.act(() => pool.tick(this.clock.now())));
    }
  }

  #alarm(owner: object, at: number, ring: () => void): void {
    const now = this.clock.now();
    const due = Math.max(at, now + 1);
    const set = this.#alarms.get(owner);
    if (set?.at === due) return;
    set?.cancel();
    this.#alarms.delete(owner);
    if (at === Infinity) return;
    const cancel = this.clock.after(due - now, () => {
      this.#alarms.delete(owner);
      ring();
    });
    this.#alarms.set(owner, { at: due, cancel });
  }
}

/** Tells of every new order as it is written down. */
class ObservedStore extends MemoryFleetStore {
  readonly #newest = new Map<MachineId, Intent>();
  readonly #onOrder: (intent: Intent, before: Intent | null) => void;

  constructor(onOrder: (intent: Intent, before: Intent | null) => void) {
    super();
    this.#onOrder = onOrder;
  }

  override saveIntent(intent: Intent): void {
    super.saveIntent(intent);
    const before = this.#newest.get(intent.machineId) ?? null;
    this.#newest.set(intent.machineId, intent);
    if (before === null || intent.epoch > before.epoch) this.#onOrder(intent, before);
  }
}

/** A trace may name its models as it likes; the coordinator gets names of its own kind. */
export function idOf(model: number): ModelId {
  return modelIdSchema.parse(`model-${String(model).padStart(4, "0")}`);
}

export function modelOf(id: ModelId): number {
  return Number(id.slice("model-".length));
}

function catalogOf({ models }: Scenario): NonNullable<ControlPlane["directory"]["catalog"]> {
  const parsed = parseCatalog(
    models.map(({ floor, cap, priority }, model) => ({
      id: idOf(model),
      context_length: 32_768,
      size_gb: 20,
      // Which model fits on which machine is said by what the machine has on its disk.
      min_ram_gb: 0,
      floor,
      cap,
      priority,
      max_concurrency: SLOTS,
    })),
  );
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.catalog;
}
