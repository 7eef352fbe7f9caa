import { DurableObject } from "cloudflare:workers";

import type { ApiError } from "../core/api-error.ts";
import { flagNameSchema } from "../core/flags.ts";
import { capacity, type Capacity } from "../core/fleet/capacity.ts";
import { ControlPlane, type DialVerdict } from "../core/fleet/control-plane.ts";
import { unknownMachine } from "../core/fleet/directory.ts";
import { sightingsIn, viewMachine, type FleetView } from "../core/fleet/fleet-view.ts";
import { IdlePools } from "../core/fleet/idle-pools.ts";
import { machineDetails, type MachineDetails } from "../core/fleet/machine-details.ts";
import type { PinVerdict } from "../core/fleet/orders.ts";
import { ownedMachines, type OwnedMachine } from "../core/fleet/owned-machines.ts";
import {
  placementReport,
  previewReport,
  type PlacementReport,
  type Simulation,
} from "../core/fleet/placement-report.ts";
import type { FlagView } from "../core/fleet/settings.ts";
import { machineRow, utilization, type MachineRow, type Utilization } from "../core/fleet/utilization.ts";
import { CAPACITY_ANSWER_MS, CAPACITY_TTL_MS, SCRAPE_POOLS_MS } from "../core/limits.ts";
import type { FleetScrape } from "../core/metrics.ts";
import { poolName } from "../core/pool-name.ts";
import type { Admission, AdmissionQuestion } from "../core/pool/admission.ts";
import type { PoolCall, PoolReply } from "../core/pool/calls.ts";
import type { PoolNews } from "../core/pool/ports.ts";
import type { PoolReport } from "../core/pool/report.ts";
import type { PoolSettings } from "../core/pool/settings.ts";
import rootPackage from "../package.json" with { type: "json" };
import { machineIdSchema, modelIdSchema, type ModelId } from "../protocol/ids.ts";
import type { Dialer } from "./dial.ts";
import type { Env } from "./env.ts";
import { logWarning } from "./log.ts";
import { Operators, type AskedChange, type CatalogInForce, type CatalogVerdict } from "./operators.ts";
import { SqlFleetStore } from "./storage/fleet-store.ts";
import { SqlIdlePoolStore } from "./storage/idle-pool-store.ts";
import { SqlPlacementStore } from "./storage/placement-store.ts";

/** How long a revocation is repeated to the pools, in case one did not hear it the first time. */
const REVOCATION_REPEAT_MS = 600_000;

/** A caller hears of an order's effects if they come within this time; they come anyway. */
const SETTLE_LIMIT_MS = 2_000;

/** Plans in a report. */
const REPORTED_PLANS = 50;

/** What an operator asked to be done with a machine, or why it cannot be. */
export type MachineVerdict =
  | { readonly ok: true; readonly machineId: string; readonly epoch: number }
  | { readonly ok: false; readonly error: ApiError };

/**
 * The control plane as a Durable Object: a thin shell around `core/fleet`. It turns calls into calls on the core,
 * carries the core's calls to the pools and their answers back, and gives it a clock by the alarm. Whatever the core
 * writes and the alarm that follows from it go to disk together, since nothing is awaited in between (H3).
 */
export class Fleet extends DurableObject<Env> {
  readonly #store: SqlFleetStore;
  readonly #core: ControlPlane;
  /** When the alarm rings; null if this life of the object has not set it yet. */
  #alarmAt: number | null = null;
  /** Calls to pools under way. */
  readonly #calls = new Set<Promise<void>>();
  readonly #idlePools: IdlePools;
  #capacity: { readonly at: number; readonly read: Promise<Capacity> } | null = null;
  readonly #operators: Operators;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    this.#store = new SqlFleetStore(context.storage);
    this.#core = new ControlPlane({
      callPool: (pool, call) => this.#callPool(pool, call),
      isRevoked: (tokenId) => this.#store.isRevoked(tokenId),
      store: this.#store,
      plans: new SqlPlacementStore(context.storage.sql),
      newestProvider: rootPackage.version,
    });
    this.#idlePools = new IdlePools(new SqlIdlePoolStore(context.storage.sql));
    this.#operators = new Operators(env.FLAGS, this.#store, this.#core, {
      flagsChanged: () => this.#flagsChanged(),
      catalogChanged: (gone) => this.#catalogChanged(gone),
    });
  }

  /** Decides one dial. @param pool the catalog id the provider named; null for wherever it belongs. */
  dial(dialer: Dialer, pool: string | null): DialVerdict {
    const named = pool === null ? null : modelIdSchema.parse(pool);
    return this.#then((now) => this.#core.dial(dialer, named, now));
  }

  /** Decides one register and remembers what the machine said. */
  async register(question: AdmissionQuestion): Promise<Admission> {
    // Without it nobody knows which pools a machine should be in.
    await this.#operators.needCatalog();
    return this.#then((now) => this.#core.register(question, now));
  }

  /** A pool tells something unasked. */
  told(pool: string, news: PoolNews): void {
    if (news.kind === "demand") this.#idlePools.forget(pool);
    this.#then((now) => this.#core.told(pool, news, now));
  }

  /** What a pool should know; it asks when it has no machine and no idea whether there is any. */
  settingsFor(pool: string): PoolSettings {
    return this.#core.settingsFor(pool, Date.now());
  }

  /** Forbids a provider token and closes every socket that was dialed with it, with 4005. */
  async revokeToken(tokenId: string): Promise<void> {
    this.#store.revokeToken(tokenId, Date.now());
    for (const pool of this.#core.pools()) this.#callPool(pool, { kind: "revoke", tokenId });
    await this.#settled();
  }

  /** With what was written to KV by hand up to now; null if nobody knows. */
  catalog(): Promise<CatalogInForce | null> {
    return this.#operators.catalog();
  }

  async changeCatalog(asked: AskedChange): Promise<CatalogVerdict> {
    const verdict = await this.#operators.changeCatalog(asked);
    if (verdict.ok) await this.#settled();
    return verdict;
  }

  flags(): FlagView[] {
    return this.#core.flagBook.views();
  }

  /** Puts a flag's value in force, here and in the pools at once, then in KV. @returns what is wrong with it, or null. */
  async setFlag(name: string, text: string): Promise<string | null> {
    const problem = await this.#operators.setFlag(flagNameSchema.parse(name), text);
    if (problem === null) await this.#settled();
    return problem;
  }

  pin(machineId: string, modelId: string): PinVerdict {
    return this.#then((now) => this.#core.orders.pin(machineIdSchema.parse(machineId), modelId, now));
  }

  release(machineId: string): MachineVerdict {
    return this.#order(machineId, (id, now) => {
      this.#core.orders.release(id, "released by an operator", now);
      return null;
    });
  }

  unpin(machineId: string): MachineVerdict {
    return this.#order(machineId, (id) => {
      this.#core.intents.unpin(id);
      return null;
    });
  }

  quarantine(machineId: string): MachineVerdict {
    return this.#order(machineId, (id, now) => this.#core.quarantine(id, now));
  }

  readmit(machineId: string): MachineVerdict {
    return this.#order(machineId, (id) => this.#core.readmit(id));
  }

  /** Forgets a machine that is not connected; the pools that may know better are asked. */
  async removeMachine(machineId: string): Promise<MachineVerdict> {
    const askedAt = Date.now();
    await this.#view(this.#core.memberships.of(machineIdSchema.parse(machineId)), SETTLE_LIMIT_MS);
    const verdict = this.#order(machineId, (id, now) => this.#core.remove(id, askedAt, now));
    await this.#settled();
    return verdict;
  }

  /** The report of all pools, read from them now (C20). */
  async utilization(): Promise<Utilization> {
    return this.#utilizationIn(await this.#view());
  }

  /** The newest plan and those before it that moved something. */
  placement(): PlacementReport {
    const { placement, flagBook } = this.#core;
    return placementReport(placement.last, placement.history(REPORTED_PLANS), flagBook.flags);
  }

  /** What placement would do now under other circumstances. Changes nothing. */
  async simulatePlacement(asked: Simulation): Promise<ReturnType<typeof previewReport> | null> {
    const view = await this.#view();
    const { directory, placement, flagBook } = this.#core;
    const { catalog } = directory;
    if (catalog === null) return null;
    const { plan, input } = placement.preview(view, catalog, flagBook.flags, asked);
    return previewReport(plan, input);
  }

  /** What each pool can take, read from them at most every two seconds however many ask. */
  async capacity(): Promise<Capacity> {
    const now = Date.now();
    if (this.#capacity === null || now - this.#capacity.at >= CAPACITY_TTL_MS) {
      this.#capacity = { at: now, read: this.#readCapacity() };
    }
    return this.#capacity.read;
  }

  /** Where an owner's machines are, by what the fleet itself knows. */
  machinesOf(owner: string): OwnedMachine[] {
    return ownedMachines(owner, this.#core.directory, this.#core.intents);
  }

  /** What `GET /metrics` shows. Pools without machines are not woken for counts that have not changed. */
  async metrics(): Promise<FleetScrape> {
    await this.#operators.needCatalog();
    const { models } = this.#core.ownView(Date.now());
    const withMachines = this.#core.pools();
    const without = models.filter((model) => !withMachines.has(model));
    const totals = this.#idlePools.totalsOf(without, Date.now());
    const read = new Set<string>([...without.filter((model) => !totals.has(model)), ...withMachines]);
    const view = await this.#view([...read], SCRAPE_POOLS_MS, totals);
    const { model_pools } = this.#utilizationIn(view);
    return {
      totals: new Map(models.map((model) => [model, totals.get(model) ?? null])),
      pools: model_pools.pools,
      demand: (this.#core.placement.last?.models ?? []).map(({ modelId, demandMachines }) => ({
        model: modelId,
        machines: demandMachines,
      })),
      coResidentMachines: model_pools.co_resident_machines,
      switches: this.#store.switchTotals(),
    };
  }

  async machines(): Promise<MachineRow[]> {
    const view = await this.#view();
    return view.machines.map((machine) => machineRow(viewMachine(view, machine), view.now));
  }

  /** One machine and why it is idle; null for one that is not known. */
  async machine(machineId: string): Promise<MachineDetails | null> {
    const machine = this.#core.directory.get(machineIdSchema.parse(machineId));
    if (machine === null) return null;
    // Only these can know it, and many machines may ask.
    const view = await this.#view(this.#core.memberships.of(machine.machineId));
    const stay = this.#core.placement.last?.machines.find((each) => each.machineId === machine.machineId);
    return machineDetails(view, machine, this.#core.flagBook.flags, stay?.reason ?? null);
  }

  /**
   * The cron calls it each minute: sets the alarm in case it was lost. A fleet without machines has no ticks, so what
   * operators have written to KV is read here.
   */
  async ensureAlarm(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) === null) this.#alarmAt = null;
    if (this.#core.pools().size === 0) await this.#operators.read();
    this.#arm(Date.now());
  }

  /** Repeats what is unanswered; every `tick_seconds` it looks at everything. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    const now = Date.now();
    const isEarly = now < (this.#core.tickDueAt(now) ?? now) && (this.#core.nextWakeAt() ?? Infinity) <= now;
    if (!isEarly) {
      // Set before anything can fail, so that one bad tick is not the last.
      if (this.#core.tickDueAt(now) !== null)
        this.#armAt(now + this.#core.flagBook.flags.tick_seconds * 1000);
      await this.#operators.read();
      for (const tokenId of this.#store.tokensRevokedSince(now - REVOCATION_REPEAT_MS)) {
        for (const pool of this.#core.pools()) this.#callPool(pool, { kind: "revoke", tokenId });
      }
      this.#then((at) => this.#core.tick(at));
      await this.#settled();
      this.#then((at) => {
        this.#core.place(at);
        // Nothing has failed, so the next look need not come before it is due.
        this.#alarmAt = null;
      });
    } else {
      this.#then((at) => this.#core.retry(at));
    }
    await this.#settled();
  }

  /** Runs something on the core and sets the alarm for what follows from it, without an await in between. */
  #then<T>(act: (now: number) => T): T {
    const now = Date.now();
    const result = act(now);
    this.#arm(now);
    return result;
  }

  #utilizationIn(view: FleetView): Utilization {
    const { flags } = this.#core.flagBook;
    const { last } = this.#core.placement;
    const isDeciding = flags.placement !== "off" && last !== null && last.mode !== "off";
    const desired = isDeciding ? new Map(last.models.map((model) => [model.modelId, model.desired])) : null;
    return utilization(view, flags, desired);
  }

  #order(
    machineId: string,
    act: (id: ReturnType<typeof machineIdSchema.parse>, now: number) => ApiError | null,
  ): MachineVerdict {
    const id = machineIdSchema.parse(machineId);
    if (this.#core.directory.get(id) === null) return { ok: false, error: unknownMachine(id) };
    const error = this.#then((now) => act(id, now));
    return error === null
      ? { ok: true, machineId: id, epoch: this.#core.intents.epochOf(id) }
      : { ok: false, error };
  }

  #arm(now: number): void {
    const at = Math.min(this.#core.tickDueAt(now) ?? Infinity, this.#core.nextWakeAt() ?? Infinity);
    this.#armAt(Math.max(at, now + 1));
  }

  #armAt(at: number): void {
    if (at === Infinity || (this.#alarmAt !== null && this.#alarmAt <= at)) return;
    this.#alarmAt = at;
    // A write like those before it, and in one transaction with them.
    void this.ctx.storage.setAlarm(at);
  }

  #callPool(pool: string, call: PoolCall): void {
    const done = this.#perform(pool, call).finally(() => this.#calls.delete(done));
    this.#calls.add(done);
    this.ctx.waitUntil(done);
  }

  #ask(pool: string, call: PoolCall): Promise<PoolReply> {
    if (call.kind === "read") this.#idlePools.asked(pool, call);
    return this.env.MODEL_POOL.getByName(poolName(pool)).perform(call);
  }

  /** A pool that does not answer must not keep the others from hearing; the core repeats what matters. */
  async #perform(pool: string, call: PoolCall): Promise<void> {
    let reply: PoolReply;
    try {
      reply = await this.#ask(pool, call);
    } catch (error) {
      logWarning("pool_unreachable", { pool, call: call.kind, error: String(error) });
      return;
    }
    this.#then((now) => this.#core.replied(pool, call, reply, now));
  }

  /** Waits for the calls under way and those that follow from them, but not long for a pool that does not answer. */
  async #settled(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | null = null;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SETTLE_LIMIT_MS);
    });
    const all = async (): Promise<void> => {
      while (this.#calls.size > 0) await Promise.all(this.#calls);
    };
    await Promise.race([all(), enough]);
    clearTimeout(timer);
  }

  /** Pools without machines are not woken for it. */
  async #readCapacity(): Promise<Capacity> {
    await this.#operators.needCatalog();
    const pools = this.#core.pools();
    return capacity(await this.#view([...pools], CAPACITY_ANSWER_MS), pools);
  }

  /**
   * @param pools those to read; all that there are if left out.
   * @param withinMs those that have not answered by then are left out.
   * @param totals takes what they have counted.
   */
  async #view(
    pools?: readonly string[],
    withinMs = Infinity,
    totals?: Map<string, ReadonlyMap<string, number>>,
  ): Promise<FleetView> {
    const reports = new Map<string, PoolReport>();
    const read = pools ?? new Set<string>([...this.#core.ownView(Date.now()).models, ...this.#core.pools()]);
    const all = Promise.all([...read].map((pool) => this.#read(pool, reports, totals)));
    if (withinMs === Infinity) await all;
    else {
      const done = new AbortController();
      await Promise.race([all, scheduler.wait(withinMs, { signal: done.signal })]);
      done.abort();
    }
    return { ...this.#core.ownView(Date.now()), reports, sightings: sightingsIn(reports) };
  }

  async #read(
    pool: string,
    reports: Map<string, PoolReport>,
    totals?: Map<string, ReadonlyMap<string, number>>,
  ): Promise<void> {
    const call = this.#core.readCall(pool, Date.now(), totals !== undefined);
    try {
      const reply = await this.#ask(pool, call);
      if (reply.kind !== "report") return;
      reports.set(pool, reply.report);
      if (reply.totals !== null) totals?.set(pool, reply.totals);
      // One with machines is asked each time.
      if (!this.#core.pools().has(pool)) this.#idlePools.answered(pool, call, reply, Date.now());
      this.#then((now) => this.#core.replied(pool, call, reply, now));
    } catch (error) {
      logWarning("pool_unreachable", { pool, call: call.kind, error: String(error) });
    }
  }

  #flagsChanged(): void {
    this.#core.stir(Date.now());
    this.#then((at) => {
      this.#core.orders.obeyFlags(at);
      this.#core.configurePools(at);
    });
  }

  #catalogChanged(gone: readonly ModelId[]): void {
    this.#then((now) => {
      this.#core.orders.releaseFrom(gone, now);
      this.#core.tick(now);
    });
  }
}
