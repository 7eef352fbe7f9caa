import { machineIdSchema, type MachineId, type ModelId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import { REPORTED_SWITCHES } from "../limits.ts";
import type { Admission, AdmissionQuestion } from "../pool/admission.ts";
import type { PoolCall, PoolReply, ReadCall } from "../pool/calls.ts";
import type { Watch } from "../pool/demand-watch.ts";
import type { PoolNews } from "../pool/ports.ts";
import type { PoolSettings } from "../pool/settings.ts";
import { Admissions, type DialVerdict } from "./admissions.ts";
import { announcements } from "./announcements.ts";
import { Cooldowns } from "./cooldowns.ts";
import { Cordons } from "./cordons.ts";
import { DialPolicy, type Dialer } from "./dial-policy.ts";
import { Directory } from "./directory.ts";
import { Exclusions } from "./exclusions.ts";
import { FlagBook, type FlagStore } from "./flag-book.ts";
import type { FleetView } from "./fleet-view.ts";
import { Handover } from "./handover.ts";
import { Intents } from "./intents.ts";
import type { FleetStore } from "./machine.ts";
import { Memberships } from "./memberships.ts";
import { Orders } from "./orders.ts";
import { Placement } from "./placement.ts";
import type { PlacementStore } from "./plan-record.ts";
import { PoolSettingsBook } from "./pool-settings.ts";
import { areReturning, noteLeft, notePresence } from "./presence.ts";
import { Reconciler } from "./reconcile.ts";
import { RefusedDials, type RefusedDial } from "./refused-dials.ts";
import { missedRevocations } from "./revocations.ts";
import { Survey } from "./survey.ts";

/**
 * The control plane: the identity of every machine, the pool it belongs to, and the operators' settings. Dials and registers
 * pass through it, requests never do, so pools keep serving while it is down (D11).
 *
 * It does no I/O: time comes in as an argument, calls to pools go out through a port, and their answers come back through
 * `replied`, so that a Durable Object and a simulation run the same code.
 */

export interface ControlPlanePorts {
  /** Calls a pool; its answer, if any, is passed to `replied`. */
  callPool(pool: string, call: PoolCall): void;
  isRevoked(tokenId: string): boolean;
  /** This machine's epochs are used up: it can be given no order any more, which an operator has to resolve. */
  onEpochsUsedUp(machineId: MachineId, reason: string): void;
  readonly store: FleetStore & FlagStore;
  readonly plans: PlacementStore;
  /** The provider version that belongs to this coordinator. */
  readonly newestProvider: string;
}

export class ControlPlane {
  readonly flagBook: FlagBook;
  readonly intents: Intents;
  readonly handover: Handover;
  readonly orders: Orders;
  readonly memberships: Memberships;
  readonly directory: Directory;
  readonly placement: Placement;
  readonly cordons: Cordons;
  readonly #ports: ControlPlanePorts;
  readonly #reconciler: Reconciler;
  readonly #dialPolicy: DialPolicy;
  readonly #refusedDials = new RefusedDials();
  readonly #settings: PoolSettingsBook;
  readonly #survey: Survey;
  readonly #cooldowns: Cooldowns;
  readonly #admissions: Admissions;
  readonly #exclusions: Exclusions;

  constructor(ports: ControlPlanePorts) {
    this.#ports = ports;
    this.flagBook = new FlagBook(ports.store, ports.newestProvider);
    this.memberships = new Memberships(ports.store);
    this.directory = new Directory(ports.store);
    this.#cooldowns = new Cooldowns(ports.store);
    this.#settings = new PoolSettingsBook(ports.store, this.flagBook, this.directory);
    this.#dialPolicy = new DialPolicy(this.directory, {
      isRevoked: ports.isRevoked,
      flags: () => this.flagBook.flags,
      epochOf: (machineId) => this.intents.epochOf(machineId),
    });
    this.intents = new Intents(ports.store);
    this.handover = new Handover(this.intents, this.memberships, {
      callPool: ports.callPool,
      poolsOf: (machineId) => this.directory.poolsOf(machineId),
      publicKeyOf: (machineId) => this.directory.get(machineId)?.publicKey ?? "",
      knowsOrders: (machineId) => this.directory.knowsOrders(machineId, this.flagBook.flags),
      tickMs: () => this.#tickMs,
      onEpochsUsedUp: (machineId, reason) => ports.onEpochsUsedUp(machineId, reason),
      onFailed: (intent, now) => this.#reconciler.onFailed(intent, this.#cooldownMs, now),
    });
    this.orders = new Orders(this.flagBook, this.directory, this.intents, this.handover);
    this.#reconciler = new Reconciler(this.handover, this.intents, this.memberships, {
      callPool: ports.callPool,
      askPool: (pool, now) => ports.callPool(pool, this.readCall(pool, now)),
      cooldowns: this.#cooldowns,
    });
    this.cordons = new Cordons(this.directory, this.memberships, ports.callPool);
    this.#survey = new Survey(ports.plans.schedule(), ports.plans.poolsInDemand().length > 0);
    this.placement = new Placement(ports.plans, {
      assign: (machineId, model, reason, now) =>
        this.orders.assign(machineIdSchema.parse(machineId), model, reason, false, now)?.epoch ?? null,
    });
    const { directory, memberships, intents, handover, orders } = this;
    this.#admissions = new Admissions({
      directory,
      memberships,
      intents,
      handover,
      orders,
      dialPolicy: this.#dialPolicy,
      reconciler: this.#reconciler,
      flags: () => this.flagBook.flags,
      stir: (now) => this.stir(now),
    });
    this.#exclusions = new Exclusions({
      directory,
      memberships,
      intents,
      orders,
      survey: this.#survey,
      cooldowns: this.#cooldowns,
      loadTimes: this.placement.loadTimes,
      callPool: ports.callPool,
    });
  }

  /** @param named the catalog id the provider asked for; null for wherever it belongs. */
  dial(dialer: Dialer, named: ModelId | null, now: number): DialVerdict {
    const verdict = this.#admissions.dial(dialer, named, now);
    if (verdict.ok) this.#refusedDials.forget(dialer.machineId);
    return verdict;
  }

  /** A dial was refused because the model it named is in no catalog. */
  refusedDial(dialer: Dialer, model: ModelId, now: number): void {
    // Nobody is shown under the id of another owner's machine.
    if (this.#dialPolicy.whyNotDial(dialer) === null) this.#refusedDials.note(dialer, model, now);
  }

  /** Machines that come again and again for a model that is in no catalog. */
  refusedDials(now: number): RefusedDial[] {
    return this.#refusedDials.list((model) => this.directory.catalog?.find(model) !== undefined, now);
  }

  register(question: AdmissionQuestion, now: number): Admission {
    return this.#admissions.register(question, now);
  }

  /** A pool's notification. */
  told(pool: string, news: PoolNews, now: number): void {
    switch (news.kind) {
      case "record":
        if (news.loadMs !== null) this.#learnLoadTime(news.machineId, pool, news.loadMs);
        this.handover.observed(news.machineId, pool, news.record, now);
        return;
      case "holds":
        if (news.held === null) return;
        this.handover.holds(news.machineId, news.held.model_id, news.held.epoch, now);
        return;
      case "left":
        noteLeft(this.directory, news, now);
        return;
      case "demand":
        this.placement.noteDemand(pool);
        this.#survey.schedule.hurry(now);
    }
  }

  /** A pool has answered a call. */
  replied(pool: string, call: PoolCall, reply: PoolReply, now: number): void {
    if (call.kind === "read" && reply.kind === "report") {
      this.#settings.confirmed(pool, reply.report.settingsVersion);
      this.#survey.answered(pool, reply.report, call.askedAt);
      this.#reconciler.onReport(pool, reply.report, call.askedAt, now);
      this.cordons.onReport(pool, reply.report);
      for (const tokenId of missedRevocations(reply.report, this.directory, this.#ports.isRevoked))
        this.#ports.callPool(pool, { kind: "revoke", tokenId });
    } else if (call.kind === "settings") this.#settings.confirmed(pool, call.settings.version);
    else if (call.kind === "announce") this.#announced(call);
    else if (call.kind === "cordon") this.cordons.told(pool, call);
    else if (call.kind === "forget" && reply.kind === "told" && reply.reached)
      this.#reconciler.onForgotten(pool, call, now);
    else this.handover.replied(pool, call, reply, now);
  }

  /** Quarantines a machine until it is readmitted. */
  quarantine(machineId: MachineId, now: number): ApiError | null {
    return this.#exclusions.quarantine(machineId, now);
  }

  readmit(machineId: MachineId): ApiError | null {
    return this.#exclusions.readmit(machineId);
  }

  /**
   * Forgets a machine that is gone.
   * @param askedAt when the pools that may hold a socket of it were asked for the reports that are to count.
   */
  remove(machineId: MachineId, askedAt: number, now: number): ApiError | null {
    return this.#exclusions.remove(machineId, askedAt, now);
  }

  /** Starts a tick: reads the pools, repeats unanswered calls, and sends pools new settings. */
  tick(now: number): void {
    this.orders.obeyFlags(now);
    this.retry(now);
    this.configurePools(now);
    const pools = new Set<string>([...this.pools(), ...this.placement.poolsInDemand()]);
    this.placement.begin();
    this.#survey.begin(pools, now);
    for (const pool of pools)
      this.#ports.callPool(pool, { ...this.readCall(pool, now), watch: this.#watchOf(pool) });
    for (const { pool, call } of announcements(this.directory, this.memberships, this.intents, now)) {
      this.#ports.callPool(pool, call);
    }
    this.#exclusions.repeat();
  }

  /** The second half of a tick, to be called once the reports have arrived or are overdue. */
  place(now: number): void {
    const { schedule } = this.#survey;
    const { flags } = this.flagBook;
    if (this.directory.catalog === null || !this.#survey.isComplete) {
      this.placement.skip("stale_reports", flags, now);
      return;
    }
    const view = this.view(now);
    // Only once, so that it is noticed if no pool can be reached.
    const { learnedAt } = this.placement;
    if (learnedAt !== null && now - learnedAt < 2 * this.#tickMs && areReturning(view, learnedAt)) {
      this.placement.skip("reconnecting", flags, now);
      return;
    }
    notePresence(this.directory, view, this.#survey.askedAt);
    const hasDemand = this.placement.place(view, this.directory.catalog, flags);
    const isStirring = this.#survey.isStirring(this.intents.all(), this.directory.all(), now);
    schedule.found(hasDemand || isStirring);
    if (schedule.memory !== null) this.#ports.plans.saveSchedule(schedule.memory);
  }

  /** A snapshot with the pools' last reports. */
  view(now: number): FleetView {
    return this.#survey.view(this.ownView(now));
  }

  /** The fleet's own part of a snapshot, without reports. */
  ownView(now: number): Omit<FleetView, "reports" | "sightings"> {
    return {
      now,
      machines: [...this.directory.all()],
      intents: new Map([...this.intents.all()].map((intent) => [intent.machineId, intent])),
      cooldowns: this.#cooldowns.all(),
      switches: this.#ports.store.switches(REPORTED_SWITCHES),
      models: this.models(),
      contextOf: (model) => this.directory.catalog?.find(model)?.context_length ?? null,
      isRevoked: (tokenId) => this.#ports.isRevoked(tokenId),
      isContested: (machineId) => this.#dialPolicy.isContested(machineId, now),
    };
  }

  /** Those of the catalog. */
  models(): ModelId[] {
    return (this.directory.catalog?.entries ?? []).map(({ id }) => id);
  }

  /** Notes activity, such as a change by an operator: regular ticks from now on. */
  stir(now: number): void {
    this.#survey.schedule.stir(now);
  }

  /** When the next tick is due; null while there are no machines. */
  tickDueAt(now: number): number | null {
    return this.memberships.isEmpty ? null : this.#survey.schedule.dueAt(now, this.#tickMs);
  }

  /** Repeats unanswered calls, between two ticks. */
  retry(now: number): void {
    this.handover.tick(now);
    this.#reconciler.retryAfterCooldowns(this.#cooldownMs, now);
  }

  /**
   * Asks a pool for its report to show it to somebody. It is no tick, so the pool goes on counting what it would report as a
   * surprise before the next one. The answer must go to `replied`.
   * @param withTotals also for all that it has counted: then a pool that no tick reads will report its next request.
   */
  readCall(pool: string, now: number, withTotals = false): ReadCall {
    const watch = withTotals ? this.#watchOf(pool) : null;
    return {
      kind: "read",
      askedAt: now,
      slotsPerMachine: this.#settings.slotsOf(pool),
      settings: this.settingsFor(pool, now),
      watch: watch?.isLooking === true ? null : watch,
      withTotals,
    };
  }

  /** Pools that may hold a socket or a record of any machine. */
  pools(): Set<string> {
    return this.memberships.pools();
  }

  /** Tells pools the settings that they have not confirmed. */
  configurePools(now: number): void {
    for (const pool of this.#settings.unconfirmed(this.pools())) {
      this.#ports.callPool(pool, { kind: "settings", settings: this.settingsFor(pool, now) });
    }
  }

  settingsFor(pool: string, now: number): PoolSettings {
    return this.#settings.of(pool, now);
  }

  /** When a handover or a cooldown wants a tick before the regular one; null if none does. */
  nextWakeAt(): number | null {
    const at = Math.min(this.intents.nextRetryAt() ?? Infinity, this.#cooldowns.nextEndAt() ?? Infinity);
    return at === Infinity ? null : at;
  }

  get #cooldownMs(): number {
    return this.flagBook.flags.load_cooldown_seconds * 1000;
  }

  get #tickMs(): number {
    return this.flagBook.flags.tick_seconds * 1000;
  }

  #watchOf(pool: string): Watch {
    return this.placement.watchOf(pool, this.#survey.schedule.willLook, this.#tickMs);
  }

  #learnLoadTime(machineId: MachineId, pool: string, loadMs: number): void {
    const model = this.directory.get(machineId)?.models.find(({ id }) => id === pool)?.id;
    if (model !== undefined) this.placement.loadTimes.learn(machineId, model, loadMs / 1000);
  }

  /** Recorded only now, so that a machine that missed it is told again at the next tick. */
  #announced({ machineId, pools }: Extract<PoolCall, { kind: "announce" }>): void {
    const machine = this.directory.get(machineId);
    if (machine !== null) this.directory.save({ ...machine, pools });
  }
}
