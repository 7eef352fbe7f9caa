import { parseCatalog, type Catalog } from "../../core/catalog.ts";
import type { FlagName } from "../../core/flags.ts";
import type { DialVerdict } from "../../core/fleet/admissions.ts";
import { ControlPlane } from "../../core/fleet/control-plane.ts";
import type { Intent } from "../../core/fleet/machine.ts";
import type { Admission, AdmissionQuestion } from "../../core/pool/admission.ts";
import type { PoolCall, PoolReply } from "../../core/pool/calls.ts";
import type { PoolNews } from "../../core/pool/ports.ts";
import type { PoolSettings } from "../../core/pool/settings.ts";
import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { copyOf } from "./copy.ts";
import type { Dialer } from "./pool-host.ts";
import { MemoryFleetStore, MemoryPlacementStore } from "./stores.ts";
import type { World } from "./world.ts";

/** How long a tick waits for the pools' reports. */
const SETTLE_MS = 2_000;

/** The control plane with its disk and alarm, run as `durable-objects/fleet.ts` runs it. */
export class FleetHost {
  readonly disk = new MemoryFleetStore();
  readonly #plans = new MemoryPlacementStore();
  core: ControlPlane;
  /** Until then it answers no calls. */
  downUntil = 0;
  readonly #world: World;
  #catalog: Catalog;
  #life = 0;
  /** Clock skew of the host that this instance runs on. */
  #skewMs = 0;
  /** Whether it crashes right after its next write, before it sends anything. */
  #isDying = false;
  /** The alarm outlives the object. */
  #alarm: { readonly at: number; readonly cancel: () => void } | null = null;

  constructor(world: World, models: readonly ModelId[]) {
    this.#world = world;
    this.#catalog = catalogOf(models);
    this.core = this.#wake();
  }

  get isDown(): boolean {
    return this.#world.clock.now() < this.downUntil;
  }

  intent(machineId: MachineId): Intent | null {
    return this.core.intents.get(machineId);
  }

  /** Lets it crash after its next write, before it sends anything. */
  dieNext(): void {
    this.#isDying = true;
  }

  /** Runs the alarm again: the platform delivers alarms at least once. */
  ringAgain(): void {
    if (!this.isDown) this.#ring();
  }

  /** Changes the catalog. @returns the models that were removed. */
  setModels(models: readonly ModelId[]): ModelId[] {
    const gone = this.#catalog.entries.map(({ id }) => id).filter((id) => !models.includes(id));
    this.#catalog = catalogOf(models);
    this.#then((now) => {
      this.core.directory.catalog = this.#catalog;
      this.core.orders.releaseFrom(gone, now);
      this.core.tick(now);
    });
    return gone;
  }

  /** Restarts from its disk; replies to the old instance are lost. */
  restart(): void {
    this.#world.log(() => "the fleet restarts");
    this.core = this.#wake();
    this.#then(() => {});
  }

  /** @returns null if the fleet does not answer. */
  dial(dialer: Dialer, named: ModelId): DialVerdict | null {
    if (this.isDown) return null;
    const life = this.#life;
    const verdict = this.#then((now) => this.core.dial(dialer, named, now));
    if (life !== this.#life) return null;
    this.#world.log(() => `${dialer.machineId} dials ${named}: ${JSON.stringify(verdict)}`);
    return this.#world.hooks.verdict(verdict);
  }

  register(question: AdmissionQuestion, onReply: (admission: Admission) => void, onLost: () => void): void {
    const ask = this.#world.hooks.question(question);
    this.#world.network.call<Admission>(
      () => {
        if (this.isDown) return null;
        const life = this.#life;
        const admission = copyOf(this.#then((now) => this.core.register(ask, now)));
        return life === this.#life ? admission : null;
      },
      onReply,
      onLost,
    );
  }

  tell(pool: ModelId, news: PoolNews): void {
    this.#world.network.call<true>(
      () => {
        if (this.isDown) return null;
        this.#then((now) => this.core.told(pool, news, now));
        return true;
      },
      () => {},
    );
  }

  askSettings(pool: ModelId, onReply: (settings: PoolSettings) => void): void {
    this.#world.network.call(
      () => (this.isDown ? null : copyOf(this.core.settingsFor(pool, this.#now()))),
      onReply,
    );
  }

  /** Performs an operator's action. */
  operate<T>(act: (core: ControlPlane, now: number) => T): T {
    return this.#then((now) => act(this.core, now));
  }

  /** Asks every pool that may hold a socket of a machine for its report. @returns when, by the fleet's clock. */
  askAbout(machineId: MachineId): number {
    return this.#then((now) => {
      for (const pool of this.core.memberships.of(machineId)) {
        this.#callPool(pool, this.core.readCall(pool, now));
      }
      return now;
    });
  }

  setFlag(name: FlagName, text: string): void {
    this.#then((now) => {
      this.core.flagBook.set(name, text);
      this.core.orders.obeyFlags(now);
      this.core.configurePools(now);
    });
  }

  #wake(): ControlPlane {
    this.#life += 1;
    this.#skewMs = this.#world.skewMs();
    const life = this.#life;
    const core = new ControlPlane({
      callPool: (pool, call) => {
        if (life === this.#life) this.#callPool(pool, call);
      },
      isRevoked: () => false,
      onEpochsUsedUp: (machineId) => {
        throw new Error(`the epochs of ${machineId} are used up`);
      },
      newestProvider: "0.7.0",
      store: this.disk,
      plans: this.#plans,
    });
    core.directory.catalog = this.#catalog;
    return core;
  }

  #callPool(name: string, call: PoolCall): void {
    if (this.#isDying) return;
    const { hooks, network } = this.#world;
    const life = this.#life;
    const host = this.#world.poolOf(name);
    const sent = copyOf(call);
    this.#world.invariants.onFleetCalls(sent);
    hooks.calling(host, sent);
    const reply = (answer: PoolReply): void => {
      if (life !== this.#life) return;
      this.#then((now) => this.core.replied(name, sent, copyOf(answer), now));
    };
    network.call<PoolReply>(
      () => (host.isUnreachable ? null : copyOf(hooks.fake(host, sent) ?? host.perform(sent))),
      reply,
      () => {
        const made = hooks.missing(sent);
        if (made !== null) reply(made);
      },
    );
  }

  #then<T>(act: (now: number) => T): T {
    const result = act(this.#now());
    this.#world.isDirty = true;
    this.#arm();
    if (this.#isDying) {
      this.#isDying = false;
      this.restart();
    }
    return result;
  }

  #now(): number {
    return this.#world.clock.now() + this.#skewMs;
  }

  #arm(): void {
    const { clock } = this.#world;
    const now = this.#now();
    const dueAt = this.core.tickDueAt(now) ?? Infinity;
    const at = Math.max(now + 1, Math.min(dueAt, this.core.nextWakeAt() ?? Infinity));
    if (at === Infinity) return;
    if (this.#alarm !== null && this.#alarm.at <= at) return;
    this.#alarm?.cancel();
    this.#alarm = { at, cancel: clock.after(at - now, () => this.#ring()) };
  }

  #ring(): void {
    this.#alarm?.cancel();
    this.#alarm = null;
    const { clock } = this.#world;
    const now = this.#now();
    if (this.isDown) {
      // The platform rings again until the object has run.
      this.#alarm = { at: now + 1000, cancel: clock.after(1000, () => this.#ring()) };
      return;
    }
    if (now >= (this.core.tickDueAt(now) ?? now)) {
      this.#then((at) => this.core.tick(at));
      const life = this.#life;
      clock.after(SETTLE_MS, () => {
        if (life === this.#life && !this.isDown) this.#then((at) => this.core.place(at));
      });
    } else {
      this.#then((at) => this.core.retry(at));
    }
  }
}

function catalogOf(models: readonly ModelId[]): Catalog {
  const parsed = parseCatalog(
    models.map((id) => ({ id, context_length: 4096, size_gb: 10, min_ram_gb: 16, max_concurrency: 2 })),
  );
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.catalog;
}
