import type { Registered } from "../../protocol/downstream.ts";
import { machineIdSchema, NEVER_MANAGED, type MachineId, type ModelId } from "../../protocol/ids.ts";
import type { Register } from "../../protocol/upstream.ts";
import type { ApiError } from "../api-error.ts";
import { ORDER_TIMES, REPORTED_SWITCHES } from "../limits.ts";
import type { Admission, AdmissionQuestion } from "../pool/admission.ts";
import type { PoolCall, PoolReply, ReadCall } from "../pool/calls.ts";
import type { Watch } from "../pool/demand-watch.ts";
import type { PoolNews } from "../pool/ports.ts";
import type { Stamp } from "../pool/record.ts";
import type { PoolSettings } from "../pool/settings.ts";
import { announcements } from "./announcements.ts";
import { Cordons, cordonWord } from "./cordons.ts";
import { Directory, unknownMachine } from "./directory.ts";
import { Doorway, type Dialer } from "./doorway.ts";
import { FlagBook, type FlagStore } from "./flag-book.ts";
import type { FleetView } from "./fleet-view.ts";
import { Handover } from "./handover.ts";
import { Intents } from "./intents.ts";
import { machineOf, unmanageableBecause, type FleetStore } from "./machine.ts";
import { Memberships } from "./memberships.ts";
import { Orders } from "./orders.ts";
import { Placement } from "./placement.ts";
import type { PlacementStore } from "./plan-record.ts";
import { PoolSettingsBook } from "./pool-settings.ts";
import { notePresence } from "./presence.ts";
import { Reconciler } from "./reconcile.ts";
import { RefusedDials, type RefusedDial } from "./refused-dials.ts";
import { whyNotRemovable } from "./removal.ts";
import { Survey } from "./survey.ts";

/**
 * The control plane: who every machine is, to which pool it belongs, and what operators have switched. Dials and
 * registers pass through it, requests never do, so pools go on serving when it is down (D11).
 *
 * It opens nothing and waits for nothing: time comes in as an argument, calls to pools go out through a port and
 * come back through `replied`, so that a Durable Object and a simulation run the same lines.
 */

/** Where a dialing machine goes, with the fleet's word for the pool there, or why it may not dial. */
export type DialVerdict =
  | { readonly ok: true; readonly pool: ModelId; readonly stamp: Stamp }
  | { readonly ok: false; readonly error: ApiError };

export interface ControlPlanePorts {
  /** Calls a pool; the answer comes to `replied`, or nothing comes. */
  callPool(pool: string, call: PoolCall): void;
  isRevoked(tokenId: string): boolean;
  /** Somebody has to look at this machine: it can be given no order any more. */
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
  readonly #doorway: Doorway;
  readonly #refusedDials = new RefusedDials();
  readonly #settings: PoolSettingsBook;
  readonly #survey: Survey;

  constructor(ports: ControlPlanePorts) {
    this.#ports = ports;
    this.flagBook = new FlagBook(ports.store, ports.newestProvider);
    this.memberships = new Memberships(ports.store);
    this.directory = new Directory(ports.store);
    this.#settings = new PoolSettingsBook(ports.store, this.flagBook, this.directory);
    this.#doorway = new Doorway(this.directory, {
      isRevoked: ports.isRevoked,
      flags: () => this.flagBook.flags,
      epochOf: (machineId) => this.intents.epochOf(machineId),
    });
    this.intents = new Intents(ports.store);
    this.handover = new Handover(this.intents, this.memberships, {
      callPool: ports.callPool,
      poolsOf: (machineId) => this.directory.poolsOf(machineId),
      publicKeyOf: (machineId) => this.directory.get(machineId)?.publicKey ?? "",
      knowsOrders: (machineId) => !this.#isTooOld(machineId),
      tickMs: () => this.#tickMs,
      onEpochsUsedUp: (machineId, reason) => ports.onEpochsUsedUp(machineId, reason),
      onFailed: (intent, now) => {
        const cooldownMs = this.flagBook.flags.load_cooldown_seconds * 1000;
        this.#reconciler.onFailed(intent, cooldownMs, now);
      },
    });
    this.orders = new Orders(this.flagBook, this.directory, this.intents, this.handover);
    this.#reconciler = new Reconciler(this.handover, this.intents, this.memberships, {
      callPool: ports.callPool,
      askPool: (pool, now) => ports.callPool(pool, this.readCall(pool, now)),
      store: ports.store,
    });
    this.cordons = new Cordons(this.directory, this.memberships, ports.callPool);
    this.#survey = new Survey(ports.plans.schedule(), ports.plans.poolsInDemand().length > 0);
    this.placement = new Placement(ports.plans, {
      assign: (machineId, model, reason, now) =>
        this.orders.assign(machineIdSchema.parse(machineId), model, reason, false, now)?.epoch ?? null,
    });
  }

  /**
   * Decides one dial. The membership is written before the answer, so that no socket exists that the fleet does not
   * know of (H1).
   * @param named the catalog id the provider asked for; null for wherever it belongs.
   */
  dial(dialer: Dialer, named: ModelId | null, now: number): DialVerdict {
    const { machineId } = dialer;
    const refusal = this.#doorway.whyNotDial(dialer);
    if (refusal !== null) return { ok: false, error: refusal };
    this.#survey.schedule.stir(now);
    const { pool: assigned, stamp } = this.intents.destination(machineId);
    const pool = assigned ?? named ?? this.directory.poolsOf(machineId)[0];
    if (pool === undefined) {
      const message = `machine "${machineId}" has not registered before; name a model with ?pool=`;
      return { ok: false, error: { code: "model_not_found", message, param: "pool" } };
    }
    const tooOften = this.#doorway.countDial(dialer, pool, now);
    if (tooOften !== null) return { ok: false, error: tooOften };
    this.memberships.add(machineId, pool, now);
    this.handover.dialed(machineId, pool, now);
    this.#refusedDials.forget(machineId);
    return { ok: true, pool, stamp };
  }

  /** A dial was refused because the model it named is in no catalog. */
  refusedDial(dialer: Dialer, model: ModelId, now: number): void {
    // Nobody is shown under the id of another owner's machine.
    if (this.#doorway.whyNotDial(dialer) === null) this.#refusedDials.note(dialer, model, now);
  }

  /** Machines that come again and again for a model that is in no catalog. */
  refusedDials(now: number): RefusedDial[] {
    return this.#refusedDials.list((model) => this.directory.catalog?.find(model) !== undefined, now);
  }

  /** Decides one register and remembers what the machine said. Binds it to its first owner and key (H22). */
  register({ identity, register, pool }: AdmissionQuestion, now: number): Admission {
    const { machineId } = identity;
    const close = this.#doorway.whyNotRegister(identity, register);
    if (close !== null) return { admitted: false, close };
    this.memberships.add(machineId, pool, now);
    this.directory.note(machineOf(register, identity, this.directory.get(machineId), [], now));
    this.orders.obeyFlagsFor(machineId, now);
    const held = register.assignment;
    if (held !== null) this.handover.holds(machineId, held.model_id, held.epoch, now);
    this.handover.dialed(machineId, pool, now);
    this.handover.woken(machineId, now);
    this.#reconciler.connected(machineId, now);
    const { pool: assigned, stamp } = this.intents.destination(machineId);
    const pools = assigned === null ? this.directory.poolsOf(machineId) : [assigned];
    const machine = machineOf(register, identity, this.directory.get(machineId), pools, now);
    this.directory.save(machine);
    if (assigned === pool) this.handover.arrived(machineId);
    const isElsewhere = assigned !== null && assigned !== pool && stamp.mode !== "unknown";
    return {
      admitted: true,
      stamp: isElsewhere ? { mode: "released", epoch: stamp.epoch } : stamp,
      pools,
      assignment: this.#assignmentFor(machineId, register),
      publicKey: register.public_key,
      ...cordonWord(machine),
    };
  }

  /** A pool tells something unasked. */
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
    } else if (call.kind === "settings") this.#settings.confirmed(pool, call.settings.version);
    else if (call.kind === "announce") this.#announced(call);
    else if (call.kind === "cordon") this.cordons.told(pool, call);
    else if (call.kind === "forget" && reply.kind === "told" && reply.reached)
      this.#reconciler.onForgotten(pool, call, now);
    else this.handover.replied(pool, call, reply, now);
  }

  /** Shuts a machine out: it is released, its sockets close with 4005 and its dials are refused with 403. */
  quarantine(machineId: MachineId, now: number): ApiError | null {
    const machine = this.directory.get(machineId);
    if (machine === null) return unknownMachine(machineId);
    this.directory.save({ ...machine, isQuarantined: true });
    // One that cannot be released is shut out all the same.
    this.orders.release(machineId, "quarantined", now);
    this.#expel(machineId);
    return null;
  }

  readmit(machineId: MachineId): ApiError | null {
    const machine = this.directory.get(machineId);
    if (machine === null) return unknownMachine(machineId);
    this.directory.save({ ...machine, isQuarantined: false });
    return null;
  }

  /**
   * Forgets a machine that is gone. It is released like any other, so its pools let go of it one after the other and are
   * asked until they have; they leave the memberships only then. Its newest order stays, a release: should the machine
   * come back, it is new to everybody, and its epochs go on.
   * @param askedAt when the pools that may hold a socket of it were asked for the reports that are to count.
   */
  remove(machineId: MachineId, askedAt: number, now: number): ApiError | null {
    const machine = this.directory.get(machineId);
    if (machine === null) return unknownMachine(machineId);
    const pools = this.memberships.of(machineId);
    const reports = new Map(pools.map((pool) => [pool, this.#survey.reportOf(pool, askedAt)]));
    const obstacle = whyNotRemovable(machine, reports, now);
    if (obstacle !== null) return obstacle;
    const notReleased = this.orders.release(machineId, "deleted by an operator", now);
    if (notReleased !== null) return notReleased;
    this.directory.remove(machineId);
    this.placement.loadTimes.forget(machineId);
    this.#reconciler.forgetCooldowns(machineId);
    this.intents.forgetOldest((id) => this.directory.get(id) !== null || this.memberships.of(id).length > 0);
    return null;
  }

  /** The regular look at everything: reads the pools, repeats what is unanswered, tells the pools what is new. */
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
    for (const machine of this.directory.all()) if (machine.isQuarantined) this.#expel(machine.machineId);
  }

  /** What follows from a tick's reports: to be called once they have come, or should have. */
  place(now: number): void {
    const { schedule } = this.#survey;
    const { flags } = this.flagBook;
    if (this.directory.catalog === null || !this.#survey.isComplete) {
      this.placement.skip(flags, now);
      return;
    }
    const view = this.view(now);
    notePresence(this.directory, view);
    const hasDemand = this.placement.place(view, this.directory.catalog, flags);
    const isStirring = this.#survey.isStirring(this.intents.all(), this.directory.all(), now);
    schedule.found(hasDemand || isStirring);
    if (schedule.memory !== null) this.#ports.plans.saveSchedule(schedule.memory);
  }

  /** Everything known, as of the pools' last reports. */
  view(now: number): FleetView {
    return this.#survey.view(this.ownView(now));
  }

  /** What the fleet knows without its pools. */
  ownView(now: number): Omit<FleetView, "reports" | "sightings"> {
    return {
      now,
      machines: [...this.directory.all()],
      intents: new Map([...this.intents.all()].map((intent) => [intent.machineId, intent])),
      cooldowns: this.#ports.store.cooldowns(),
      switches: this.#ports.store.switches(REPORTED_SWITCHES),
      models: this.models(),
      isRevoked: (tokenId) => this.#ports.isRevoked(tokenId),
      isContested: (machineId) => this.#doorway.isContested(machineId, now),
    };
  }

  /** Those of the catalog. */
  models(): ModelId[] {
    return (this.directory.catalog?.entries ?? []).map(({ id }) => id);
  }

  /** Regular looks at the fleet from now on: an operator has changed something. */
  stir(now: number): void {
    this.#survey.schedule.stir(now);
  }

  /** When the next tick is due; null while there is no machine to look at. */
  tickDueAt(now: number): number | null {
    return this.pools().size === 0 ? null : this.#survey.schedule.dueAt(now, this.#tickMs);
  }

  /** Repeats what is unanswered; between two ticks. */
  retry(now: number): void {
    this.handover.tick(now);
    this.#reconciler.retryAfterCooldowns(now);
  }

  /**
   * Asks a pool for its report, for somebody who wants to see it: no look at the fleet, so the pool goes on counting what would
   * be a surprise before the next. The answer must go to `replied`.
   * @param withTotals also for all that it has counted: then a pool that nobody looks at will tell of its next request.
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
    let next = this.intents.nextRetryAt();
    for (const { until } of this.#ports.store.cooldowns()) if (next === null || until < next) next = until;
    return next;
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

  #isTooOld(machineId: MachineId): boolean {
    const machine = this.directory.get(machineId);
    if (machine === null) return false;
    return unmanageableBecause(machine, this.flagBook.flags)?.code === "provider_too_old";
  }

  /** What `registered` says the machine should hold (H8); what it says itself while it must not know the new order. */
  #assignmentFor(machineId: MachineId, register: Register): Registered["assignment"] {
    const order = this.#isTooOld(machineId) ? null : this.handover.orderFor(machineId);
    if (order !== null) return { model_id: order.model_id, epoch: order.epoch, ...ORDER_TIMES };
    const held = register.assignment;
    return { model_id: held?.model_id ?? null, epoch: held?.epoch ?? NEVER_MANAGED, ...ORDER_TIMES };
  }

  /** Only now, so that a machine that has not heard is told again at the next tick. */
  #announced({ machineId, pools }: Extract<PoolCall, { kind: "announce" }>): void {
    const machine = this.directory.get(machineId);
    if (machine !== null) this.directory.save({ ...machine, pools });
  }

  #expel(machineId: MachineId): void {
    for (const pool of this.memberships.of(machineId))
      this.#ports.callPool(pool, { kind: "expel", machineId });
  }
}
