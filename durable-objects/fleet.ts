import { DurableObject } from "cloudflare:workers";

import type { ApiError } from "../core/api-error.ts";
import {
  difference,
  type AskedCall,
  type AuditRow,
  type CallOutcome,
  type Difference,
} from "../core/audit.ts";
import { flagNameSchema } from "../core/flags.ts";
import type { DialVerdict } from "../core/fleet/admissions.ts";
import { orderMany, type BulkOrder, type BulkVerdict } from "../core/fleet/bulk-orders.ts";
import type { Capacity } from "../core/fleet/capacity.ts";
import { ControlPlane } from "../core/fleet/control-plane.ts";
import { unknownMachine } from "../core/fleet/directory.ts";
import type { FlagView } from "../core/fleet/flag-book.ts";
import { IdlePools } from "../core/fleet/idle-pools.ts";
import { machineBrief } from "../core/fleet/machine-brief.ts";
import type { MachineDetails } from "../core/fleet/machine-details.ts";
import type { PinVerdict } from "../core/fleet/orders.ts";
import { ownedMachines, type OwnedMachine } from "../core/fleet/owned-machines.ts";
import type { PlacementReport } from "../core/fleet/placement-report.ts";
import type { ReplayMachine } from "../core/fleet/replay-fleet.ts";
import type { Simulation } from "../core/fleet/simulation.ts";
import type { MachineRow, Utilization } from "../core/fleet/utilization.ts";
import type { FleetScrape } from "../core/metrics.ts";
import type { Admission, AdmissionQuestion } from "../core/pool/admission.ts";
import type { PoolNews } from "../core/pool/ports.ts";
import type { PoolSettings } from "../core/pool/settings.ts";
import rootPackage from "../package.json" with { type: "json" };
import { machineIdSchema, modelIdSchema, type MachineId, type ModelId } from "../protocol/ids.ts";
import type { Dialer } from "./dial.ts";
import type { Env } from "./env.ts";
import { FleetReports, type PreviewVerdict } from "./fleet-reports.ts";
import { logError } from "./log.ts";
import { Operators, type AskedChange, type CatalogInForce, type CatalogVerdict } from "./operators.ts";
import { Pools, SETTLE_LIMIT_MS } from "./pools.ts";
import { SqlAuditStore, type AuditQuery } from "./storage/audit-store.ts";
import { SqlFleetStore } from "./storage/fleet-store.ts";
import { SqlIdlePoolStore } from "./storage/idle-pool-store.ts";
import { SqlPlacementStore } from "./storage/placement-store.ts";

/** How long a revocation is repeated to the pools, in case one did not hear it the first time. */
const REVOCATION_REPEAT_MS = 600_000;

/** What an operator asked to be done with a machine, or why it cannot be. */
export type MachineVerdict =
  | { readonly ok: true; readonly machineId: string; readonly epoch: number; readonly difference: Difference }
  | { readonly ok: false; readonly error: ApiError };

/** With the pools that have not confirmed it within two seconds: they hear of it at the next tick. */
export type CordonVerdict =
  | (Extract<MachineVerdict, { ok: true }> & { readonly waitingFor: readonly string[] })
  | Extract<MachineVerdict, { ok: false }>;

export type ManyOrdered =
  | (Extract<BulkVerdict, { ok: true }> & { readonly waitingFor: readonly string[] })
  | Extract<BulkVerdict, { ok: false }>;

export type PinnedVerdict =
  | (Extract<PinVerdict, { ok: true }> & { readonly difference: Difference })
  | Extract<PinVerdict, { ok: false }>;

export type FlagVerdict =
  | {
      readonly ok: true;
      /** Machines that should be released now, and cannot be. */
      readonly notReleased: readonly MachineId[];
      readonly difference: Difference;
    }
  | { readonly ok: false; readonly problem: string };

/**
 * The control plane as a Durable Object: a thin shell around `core/fleet`. It turns calls into calls on the core
 * and gives it a clock by the alarm; the pools are reached through `Pools`, and what is shown comes from `FleetReports`.
 * Whatever the core writes and the alarm that follows from it go to disk together, since nothing is awaited in between (H3).
 */
export class Fleet extends DurableObject<Env> {
  readonly #store: SqlFleetStore;
  readonly #core: ControlPlane;
  /** When the alarm rings; null if it is not set. */
  #alarmAt: number | null = null;
  /** Whether this life has set it for calls to be repeated, which may have been answered by the time it rings. */
  #isForRetry = false;
  readonly #idlePools: IdlePools;
  readonly #pools: Pools;
  readonly #operators: Operators;
  readonly #reports: FleetReports;
  readonly #audit: SqlAuditStore;

  constructor(context: DurableObjectState, env: Env) {
    super(context, env);
    this.#store = new SqlFleetStore(context.storage);
    this.#core = new ControlPlane({
      callPool: (pool, call) => this.#pools.call(pool, call),
      isRevoked: (tokenId) => this.#store.isRevoked(tokenId),
      onEpochsUsedUp: (machineId, reason) => logError("epochs_used_up", { machineId, order: reason }),
      store: this.#store,
      plans: new SqlPlacementStore(context.storage.sql),
      newestProvider: rootPackage.version,
    });
    this.#audit = new SqlAuditStore(context.storage.sql);
    this.#idlePools = new IdlePools(new SqlIdlePoolStore(context.storage.sql));
    this.#pools = new Pools(env, this.#core, this.#idlePools, {
      replied: (pool, call, reply) => this.#then((now) => this.#core.replied(pool, call, reply, now)),
      waitUntil: (done) => context.waitUntil(done),
    });
    this.#operators = new Operators(env.FLAGS, this.#store, this.#core, {
      flagsChanged: () => this.#flagsChanged(),
      catalogChanged: (gone) => this.#catalogChanged(gone),
      writtenByHand: (call, outcome) => this.#audit.answered(this.#audit.asked(call, Date.now()), outcome),
    });
    this.#reports = new FleetReports({
      core: this.#core,
      pools: this.#pools,
      idlePools: this.#idlePools,
      operators: this.#operators,
      store: this.#store,
    });
    // An earlier life may have set it for what this one does not know: a look that comes sooner than its own would.
    void context.blockConcurrencyWhile(() => this.#readAlarm());
  }

  /** Decides one dial. @param pool the catalog id the provider named; null for wherever it belongs. */
  dial(dialer: Dialer, pool: string | null): DialVerdict {
    const named = pool === null ? null : modelIdSchema.parse(pool);
    return this.#then((now) => this.#core.dial(dialer, named, now));
  }

  /** A dial was refused because the model it named is in no catalog. */
  refusedDial(dialer: Dialer, model: string): void {
    this.#core.refusedDial(dialer, modelIdSchema.parse(model), Date.now());
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

  /**
   * Forbids a provider token and closes every socket that was dialed with it, with 4005.
   * @returns the machines that need another one now.
   */
  async revokeToken(tokenId: string): Promise<MachineId[]> {
    this.#store.revokeToken(tokenId, Date.now());
    for (const pool of this.#core.pools()) this.#pools.call(pool, { kind: "revoke", tokenId });
    await this.#pools.settled();
    return this.#core.directory.withToken(tokenId);
  }

  /**
   * An operator asks for a change, which is made once this is on disk.
   * @returns the row's id, for `changeAnswered`; null if their token was revoked
   */
  changeAsked(call: AskedCall): number | null {
    const { tokenId } = call;
    if (tokenId !== null && this.#audit.isRevoked(tokenId)) return null;
    return this.#audit.asked(call, Date.now());
  }

  /** From now on nothing can be changed with this admin token, whatever KV says. */
  revokeAdminToken(tokenId: string): void {
    this.#audit.revoke(tokenId, Date.now());
  }

  changeAnswered(id: number, outcome: CallOutcome): void {
    this.#audit.answered(id, outcome);
  }

  /** The log of changes, the newest first. */
  changes(query: AuditQuery): AuditRow[] {
    return this.#audit.rows(query);
  }

  /** With what was written to KV by hand up to now; null if nobody knows. */
  catalog(): Promise<CatalogInForce | null> {
    return this.#operators.catalog();
  }

  async changeCatalog(asked: AskedChange): Promise<CatalogVerdict> {
    const verdict = await this.#operators.changeCatalog(asked);
    if (verdict.ok) await this.#pools.settled();
    return verdict;
  }

  flags(): FlagView[] {
    return this.#core.flagBook.views();
  }

  /** Puts a flag's value in force, here and in the pools at once, then in KV. */
  async setFlag(name: string, text: string): Promise<FlagVerdict> {
    const flag = flagNameSchema.parse(name);
    const { value } = this.#core.flagBook.view(flag);
    const problem = await this.#operators.setFlag(flag, text);
    if (problem !== null) return { ok: false, problem };
    await this.#pools.settled();
    const notReleased = this.#core.orders.heldAgainst(flag);
    return { ok: true, notReleased, difference: difference({ value }, { value: text }) };
  }

  pin(machineId: string, modelId: string): PinnedVerdict {
    const id = machineIdSchema.parse(machineId);
    const before = machineBrief(this.#core, id);
    const verdict = this.#then((now) => this.#core.orders.pin(id, modelId, now));
    if (!verdict.ok) return verdict;
    return { ...verdict, difference: difference(before, machineBrief(this.#core, id)) };
  }

  release(machineId: string): MachineVerdict {
    return this.#order(machineId, (id, now) => this.#core.orders.release(id, "released by an operator", now));
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

  /** The same order for many machines. @returns with the pools that have not confirmed a cordon, or its end */
  async orderMany(bulk: BulkOrder): Promise<ManyOrdered> {
    if (bulk.isDryRun) return waitingFor(orderMany(this.#core, bulk, Date.now()), () => []);
    const isCordon = bulk.order === "cordon" || bulk.order === "uncordon";
    if (isCordon) this.#core.stir(Date.now());
    const verdict = this.#then((now) => orderMany(this.#core, bulk, now));
    await this.#pools.settled();
    return waitingFor(verdict, (id) => (isCordon ? this.#core.cordons.untold(id) : []));
  }

  /** Keeps requests away from a machine, or lets them come again. Its pools have heard when this returns, if they answer. */
  async cordon(machineId: string, isCordoned: boolean): Promise<CordonVerdict> {
    this.#core.stir(Date.now());
    const verdict = this.#order(machineId, (id, now) => this.#core.cordons.set(id, isCordoned, now));
    await this.#pools.settled();
    if (!verdict.ok) return verdict;
    return { ...verdict, waitingFor: this.#core.cordons.untold(machineIdSchema.parse(machineId)) };
  }

  /** Forgets a machine that is not connected; the pools that may know better are asked. */
  async removeMachine(machineId: string): Promise<MachineVerdict> {
    const askedAt = Date.now();
    await this.#pools.view(this.#core.memberships.of(machineIdSchema.parse(machineId)), SETTLE_LIMIT_MS);
    const verdict = this.#order(machineId, (id, now) => this.#core.remove(id, askedAt, now));
    await this.#pools.settled();
    return verdict;
  }

  /** Where an owner's machines are, by what the fleet itself knows. */
  machinesOf(owner: string): OwnedMachine[] {
    return ownedMachines(owner, this.#core.directory, this.#core.intents);
  }

  utilization(): Promise<Utilization> {
    return this.#reports.utilization();
  }

  placement(): PlacementReport {
    return this.#reports.placement();
  }

  simulatePlacement(asked: Simulation): Promise<PreviewVerdict> {
    return this.#reports.simulatePlacement(asked);
  }

  replayMachines(): Promise<ReplayMachine[]> {
    return this.#reports.replayMachines();
  }

  capacity(): Promise<Capacity> {
    return this.#reports.capacity();
  }

  metrics(): Promise<FleetScrape> {
    return this.#reports.metrics();
  }

  machines(): Promise<MachineRow[]> {
    return this.#reports.machines();
  }

  machine(machineId: string): Promise<MachineDetails | null> {
    return this.#reports.machine(machineId);
  }

  /**
   * The cron calls it each minute: sets the alarm in case it was lost. A fleet without machines has no ticks, so what
   * operators have written to KV is read here.
   */
  async ensureAlarm(): Promise<void> {
    await this.#readAlarm();
    if (this.#core.pools().size === 0) await this.#operators.read();
    this.#arm(Date.now());
  }

  /** Repeats what is unanswered; every `tick_seconds` it looks at everything. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    const now = Date.now();
    // Set by an earlier life it may be for what this one does not know: then everything is looked at.
    const isForRetry = this.#isForRetry || (this.#core.nextWakeAt() ?? Infinity) <= now;
    const isEarly = isForRetry && now < (this.#core.tickDueAt(now) ?? now);
    this.#isForRetry = false;
    if (!isEarly) {
      // Set before anything can fail, so that one bad tick is not the last.
      if (this.#core.tickDueAt(now) !== null)
        this.#armAt(now + this.#core.flagBook.flags.tick_seconds * 1000);
      await this.#operators.read();
      for (const tokenId of this.#store.tokensRevokedSince(now - REVOCATION_REPEAT_MS)) {
        for (const pool of this.#core.pools()) this.#pools.call(pool, { kind: "revoke", tokenId });
      }
      this.#then((at) => this.#core.tick(at));
      await this.#pools.settled();
      this.#then((at) => {
        this.#core.place(at);
        // Nothing has failed, so the next look need not come before it is due.
        this.#alarmAt = null;
      });
    } else {
      this.#then((at) => this.#core.retry(at));
    }
    await this.#pools.settled();
  }

  /** Runs something on the core and sets the alarm for what follows from it, without an await in between. */
  #then<T>(act: (now: number) => T): T {
    const now = Date.now();
    const result = act(now);
    this.#arm(now);
    return result;
  }

  #order(machineId: string, act: (id: MachineId, now: number) => ApiError | null): MachineVerdict {
    const id = machineIdSchema.parse(machineId);
    const before = machineBrief(this.#core, id);
    if (before === null) return { ok: false, error: unknownMachine(id) };
    const error = this.#then((now) => act(id, now));
    if (error !== null) return { ok: false, error };
    const epoch = this.#core.intents.epochOf(id);
    return { ok: true, machineId: id, epoch, difference: difference(before, machineBrief(this.#core, id)) };
  }

  async #readAlarm(): Promise<void> {
    this.#alarmAt = await this.ctx.storage.getAlarm();
  }

  #arm(now: number): void {
    const tickAt = this.#core.tickDueAt(now) ?? Infinity;
    const retryAt = this.#core.nextWakeAt() ?? Infinity;
    this.#armAt(Math.max(Math.min(tickAt, retryAt), now + 1), retryAt < tickAt);
  }

  #armAt(at: number, isForRetry = false): void {
    if (at === Infinity || (this.#alarmAt !== null && this.#alarmAt <= at)) return;
    this.#alarmAt = at;
    this.#isForRetry = isForRetry;
    // A write like those before it, and in one transaction with them.
    void this.ctx.storage.setAlarm(at);
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

function waitingFor(verdict: BulkVerdict, untold: (machineId: MachineId) => readonly string[]): ManyOrdered {
  if (!verdict.ok) return verdict;
  const pools = verdict.machines.flatMap(({ machineId }) => untold(machineIdSchema.parse(machineId)));
  return { ...verdict, waitingFor: [...new Set(pools)] };
}
