import { DurableObject } from "cloudflare:workers";

import {
  difference,
  type AskedCall,
  type AuditRow,
  type CallOutcome,
  type Difference,
} from "../core/audit.ts";
import { flagNameSchema } from "../core/flags.ts";
import type { DialVerdict } from "../core/fleet/admissions.ts";
import type { BulkOrder } from "../core/fleet/bulk-orders.ts";
import type { Capacity } from "../core/fleet/capacity.ts";
import { ControlPlane } from "../core/fleet/control-plane.ts";
import type { FlagView } from "../core/fleet/flag-book.ts";
import { IdlePools } from "../core/fleet/idle-pools.ts";
import type { MachineDetails } from "../core/fleet/machine-details.ts";
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
import { modelIdSchema, type MachineId, type ModelId } from "../protocol/ids.ts";
import type { Dialer } from "./dial.ts";
import type { Env } from "./env.ts";
import { FleetAlarm } from "./fleet-alarm.ts";
import { FleetReports, type PreviewVerdict } from "./fleet-reports.ts";
import { logError } from "./log.ts";
import {
  MachineOrders,
  type CordonVerdict,
  type MachineVerdict,
  type ManyOrdered,
  type PinnedVerdict,
} from "./machine-orders.ts";
import { Operators, type AskedChange, type CatalogInForce, type CatalogVerdict } from "./operators.ts";
import { Pools } from "./pools.ts";
import { SqlAuditStore, type AuditQuery } from "./storage/audit-store.ts";
import { SqlFleetStore } from "./storage/fleet-store.ts";
import { SqlIdlePoolStore } from "./storage/idle-pool-store.ts";
import { SqlPlacementStore } from "./storage/placement-store.ts";

/** How long a revocation is repeated to all pools; after that only to those that still show a machine with such a token. */
const REVOCATION_REPEAT_MS = 600_000;

export type FlagVerdict =
  | {
      readonly ok: true;
      /** Machines that should be released now, and cannot be. */
      readonly notReleased: readonly MachineId[];
      readonly difference: Difference;
    }
  | { readonly ok: false; readonly problem: string };

/**
 * The control plane as a Durable Object: a thin shell around `core/fleet`. It turns calls into calls on the core and gives it a
 * clock by the alarm. Pools are reached through `Pools`, operators' orders to machines are in `MachineOrders`, and reports in
 * `FleetReports`.
 * Whatever the core writes, and the alarm that follows from it, go to disk together, since nothing is awaited in between (H3).
 */
export class Fleet extends DurableObject<Env> {
  readonly #store: SqlFleetStore;
  readonly #core: ControlPlane;
  readonly #alarm: FleetAlarm;
  readonly #idlePools: IdlePools;
  readonly #pools: Pools;
  readonly #operators: Operators;
  readonly #orders: MachineOrders;
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
    this.#alarm = new FleetAlarm(context.storage, this.#core);
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
    this.#orders = new MachineOrders(this.#core, this.#pools, (act) => this.#then(act));
    void context.blockConcurrencyWhile(() => this.#alarm.read());
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
   * @param isStored whether KV has it.
   * @returns the machines that need another one now; null if there never was such a token, as far as anybody knows.
   */
  async revokeToken(tokenId: string, isStored: boolean): Promise<MachineId[] | null> {
    const machines = this.#core.directory.withToken(tokenId);
    // What is written here is never forgotten.
    if (!isStored && machines.length === 0) return null;
    this.#store.revokeToken(tokenId, Date.now());
    for (const pool of this.#core.pools()) this.#pools.call(pool, { kind: "revoke", tokenId });
    await this.#pools.settled();
    return machines;
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
    return this.#orders.pin(machineId, modelId);
  }

  release(machineId: string): MachineVerdict {
    return this.#orders.release(machineId);
  }

  unpin(machineId: string): MachineVerdict {
    return this.#orders.unpin(machineId);
  }

  quarantine(machineId: string): MachineVerdict {
    return this.#orders.quarantine(machineId);
  }

  readmit(machineId: string): MachineVerdict {
    return this.#orders.readmit(machineId);
  }

  orderMany(bulk: BulkOrder): Promise<ManyOrdered> {
    return this.#orders.many(bulk);
  }

  cordon(machineId: string, isCordoned: boolean): Promise<CordonVerdict> {
    return this.#orders.cordon(machineId, isCordoned);
  }

  removeMachine(machineId: string): Promise<MachineVerdict> {
    return this.#orders.remove(machineId);
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
    await this.#alarm.read();
    if (this.#core.pools().size === 0) await this.#operators.read();
    this.#alarm.arm(Date.now());
  }

  /** Repeats what is unanswered; every `tick_seconds` it looks at everything. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    if (!this.#alarm.rings(now)) {
      this.#alarm.armInCaseOfFailure(now);
      await this.#operators.read();
      for (const tokenId of this.#store.tokensRevokedSince(now - REVOCATION_REPEAT_MS)) {
        for (const pool of this.#core.pools()) this.#pools.call(pool, { kind: "revoke", tokenId });
      }
      this.#then((at) => this.#core.tick(at));
      await this.#pools.settled();
      this.#then((at) => {
        this.#core.place(at);
        this.#alarm.allWentWell();
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
    this.#alarm.arm(now);
    return result;
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
