import type { Registered } from "../../../protocol/downstream.ts";
import type { ModelId } from "../../../protocol/ids.ts";
import { describeSocketEnd } from "./describe-socket-end.ts";
import { DueDials } from "./due-dials.ts";
import type { Log, Random, SocketEnd } from "./ports.ts";
import { backoffMs, redialAfter, type Redial } from "./redial.ts";
import { Renewals } from "./renewals.ts";
import { Session, type SessionHost, type SessionPorts } from "./session.ts";

/**
 * Keeps one socket to each pool that the coordinator listed. When the last socket ends, whatever the reason, some pool
 * is dialed again (H7). Lists are ordered by the epoch they came with (H10); a socket to a pool that is not in the
 * newest list is closed once its requests are done and another socket is registered.
 */

/** After a connection of this length the count of failed dials starts at zero again. */
const STABLE_MS = 10_000;

export interface PoolSocketsHost extends Omit<SessionHost, "onRegistered"> {
  /** Called after the socket and the list it brought have been taken over. */
  onRegistered(session: Session, message: Registered): void;
  /** This machine's own models, in its owner's order: what is dialed while the coordinator has listed nothing. */
  ownPools(): readonly ModelId[];
  /** Whether requests of this socket are still open. */
  hasWork(session: Session): boolean;
  /** Whether a socket without work may be replaced now. */
  mayRenew(): boolean;
  /** `needsRest` has changed. */
  onRestChanged(): void;
  /** The coordinator has refused this program for good. */
  onStopOrder(sentence: string): void;
}

export interface PoolSocketsPorts extends SessionPorts {
  readonly random: Random;
}

export class PoolSockets {
  readonly #host: PoolSocketsHost;
  readonly #ports: PoolSocketsPorts;
  readonly #log: Log;
  readonly #sessions = new Set<Session>();
  readonly #due: DueDials;
  readonly #failures = new Map<ModelId, number>();
  /** Pools that closed with 4002 since the last list. */
  readonly #released = new Set<ModelId>();
  /** The highest epoch that came over each socket: what a pool knew when it closed it. */
  readonly #heardOver = new Map<Session, number>();
  readonly #renewals: Renewals;
  /** The socket that was dialed only to announce a new model. */
  #messenger: Session | null = null;
  #listed: readonly ModelId[] = [];
  #listedEpoch = 0;
  #isOpen = false;

  constructor(host: PoolSocketsHost, ports: PoolSocketsPorts) {
    this.#host = host;
    this.#ports = ports;
    this.#log = ports.log;
    this.#due = new DueDials(ports.clock, (pool) => {
      if (this.#isOpen && !this.#liveIn(pool)) this.#dial(pool);
    });
    this.#renewals = new Renewals(ports.clock, () => host.onRestChanged());
  }

  /** Lists of epochs below `heldEpoch` are out of date. */
  start(heldEpoch: number): void {
    this.#isOpen = true;
    this.#listedEpoch = heldEpoch;
    this.reconcile();
  }

  /** The newest list of pools, without those withdrawn since; empty before the coordinator has sent one. */
  listed(): readonly ModelId[] {
    return this.#listed;
  }

  registered(): Session[] {
    return [...this.#sessions].filter((session) => session.isRegistered());
  }

  /** The newest registered socket to a pool. */
  registeredIn(pool: ModelId): Session | undefined {
    return this.registered().findLast((session) => session.pool() === pool);
  }

  /** When the next dial is due; null while any socket is open. For the status line. */
  nextDialAt(): number | null {
    return this.#sessions.size > 0 ? null : this.#due.nextAt();
  }

  /** No more dials from here on. Open sockets stay until they are closed. */
  stopDialing(): void {
    this.#isOpen = false;
    this.#due.clear();
    this.#renewals.clear();
    for (const session of this.#sessions) if (!session.isRegistered()) session.close("stopping");
  }

  closeAll(reason: string): void {
    for (const session of this.#sessions) session.close(reason);
  }

  isEmpty(): boolean {
    return this.#sessions.size === 0;
  }

  /** Takes a list over unless it belongs to an older epoch than the one held (H10). */
  follow(session: Session, epoch: number, pools: readonly ModelId[]): void {
    this.#heardOver.set(session, Math.max(epoch, this.#heardOver.get(session) ?? 0));
    if (epoch < this.#listedEpoch) return;
    const isNewEpoch = this.#listed.length > 0 && epoch > this.#listedEpoch;
    this.#listedEpoch = epoch;
    this.#listed = pools;
    this.#released.clear();
    for (const pool of this.#due.pools()) {
      // A new order's pool waits for this machine: it is dialed now, whatever came of earlier dials.
      if (isNewEpoch || !pools.includes(pool)) this.#due.cancel(pool);
    }
    this.reconcile();
  }

  /**
   * What this machine offers has changed. Only `register` carries the offer, so each socket is replaced as soon as its
   * requests are done. Pools in `withdrawn` are not dialed until the coordinator lists them again.
   */
  renew(withdrawn: readonly ModelId[]): void {
    this.#listed = this.#listed.filter((pool) => !withdrawn.includes(pool));
    for (const session of this.#sessions)
      if (session.hasSentRegister()) this.#renewals.add(session, "changed");
    this.reconcile();
  }

  /**
   * This machine offers one more model. A new socket to its pool announces it, so the others can stay. A managed machine
   * cannot do that: the coordinator would put the new socket into the assigned pool and close the one that is in use. So it
   * sends an offer over that one, or renews it if the pool takes none.
   */
  grow(pool: ModelId, isManaged: boolean): void {
    if (!this.#isOpen) return;
    const isDialed = !isManaged && this.registered().length > 0 && !this.#isServedOrDue(pool);
    for (const session of this.#sessions) {
      if (!session.hasSentRegister() || (isManaged && session.offer())) continue;
      if (session.pool() === pool) this.#renewals.add(session, "changed");
      else if (!isDialed || !session.isRegistered()) this.#renewals.add(session, "grown");
    }
    if (isDialed) this.#messenger = this.#dial(pool);
    this.reconcile();
  }

  /** Whether the machine should take no new requests because a socket that has to be replaced is never idle. */
  needsRest(): boolean {
    return this.#renewals.isRestDue();
  }

  /** Makes the sockets match the list. Called after whatever may have changed what is needed. */
  reconcile(): void {
    if (!this.#isOpen) return;
    this.#closeOutdated();
    for (const pool of this.#listed) {
      if (!this.#released.has(pool) && !this.#isServedOrDue(pool)) this.#dial(pool);
    }
    this.#closeSurplus();
    const pool = this.#poolWhenAlone();
    if (pool !== null) this.#dial(pool);
  }

  #isServedOrDue(pool: ModelId): boolean {
    return this.#due.has(pool) || this.#liveIn(pool);
  }

  #liveIn(pool: ModelId): boolean {
    for (const session of this.#sessions) if (session.isAlive() && session.pool() === pool) return true;
    return false;
  }

  /** The pool to dial when nothing else is connected or scheduled, so that the machine stays reachable (H7). */
  #poolWhenAlone(): ModelId | null {
    if (!this.#isLast()) return null;
    return [...this.#listed, ...this.#host.ownPools()].find((pool) => !this.#due.has(pool)) ?? null;
  }

  /** The last registered socket stays even if it is not listed, until one that is has registered. */
  #closeSurplus(): void {
    const registered = this.registered();
    if (!registered.some((session) => this.#listed.includes(session.pool()))) return;
    for (const session of registered) {
      if (this.#listed.includes(session.pool()) || this.#host.hasWork(session)) continue;
      session.close("not in the list of pools");
    }
  }

  #closeOutdated(): void {
    for (const session of this.#renewals.all()) {
      if (session.isAlive()) {
        if (!session.isRegistered() || this.#host.hasWork(session) || !this.#host.mayRenew()) continue;
        session.close("the offer has changed");
      }
      this.#renewals.remove(session);
    }
  }

  #dial(pool: ModelId): Session {
    this.#due.cancel(pool);
    const session = new Session(
      pool,
      {
        composeRegister: () => this.#host.composeRegister(),
        onRegistered: (from, message) => this.#onRegistered(from, message),
        onMessage: (from, message) => this.#host.onMessage(from, message),
        onEnded: (from, end) => this.#onEnded(from, end),
      },
      this.#ports,
    );
    this.#sessions.add(session);
    return session;
  }

  #onRegistered(session: Session, message: Registered): void {
    if (!this.#isOpen) {
      session.close("stopping");
      return;
    }
    if (session.asked !== message.pool) {
      // The coordinator put the socket into another pool. If it keeps listing the pool that was asked for, dialing
      // that at once would loop.
      const failures = this.#countFailure(session.asked) - 1;
      this.#due.plan(session.asked, backoffMs(failures, this.#ports.random));
    }
    if (session === this.#messenger) this.#messenger = null;
    if (!this.#renewals.has(session)) this.#renewals.onTold();
    this.follow(session, message.assignment.epoch, message.pools);
    this.#host.onRegistered(session, message);
  }

  #onEnded(session: Session, end: SocketEnd): void {
    this.#sessions.delete(session);
    this.#renewals.remove(session);
    if (this.#isOpen && session === this.#messenger) this.#onMessengerLost();
    if (this.#isOpen && !session.isClosedByUs()) this.#planRedial(session, end);
    this.#heardOver.delete(session);
    this.#host.onEnded(session, end);
    this.reconcile();
  }

  /** The new model may be in no catalog; the coordinator should still learn that this machine has it. */
  #onMessengerLost(): void {
    this.#messenger = null;
    for (const session of this.#sessions) if (session.hasSentRegister()) this.#renewals.add(session, "grown");
  }

  #planRedial(session: Session, end: SocketEnd): void {
    const pool = session.pool();
    if (session.registeredForMs() >= STABLE_MS) this.#failures.delete(pool);
    const failures = this.#countFailure(pool) - 1;
    const redial = redialAfter(end, failures, this.#ports.random);
    this.#logEnd(pool, end, redial, session.registeredForMs() > 0);
    const isListed = this.#listed.length === 0 || this.#listed.includes(pool);
    switch (redial.next) {
      case "dial":
        if (isListed || this.#isLast()) this.#due.plan(pool, redial.afterMs);
        return;
      case "dial_another_pool":
        this.#due.plan(pool, redial.afterMs, true);
        return;
      case "dial_unless_replaced":
        if ((isListed || this.#isLast()) && !this.#liveIn(pool)) this.#due.plan(pool, redial.afterMs);
        return;
      case "dial_if_alone": {
        // A pool that had not heard of the newest list has released this machine for what was true before it.
        const isOutdated = (this.#heardOver.get(session) ?? 0) < this.#listedEpoch;
        if (!isOutdated) this.#released.add(pool);
        if ((isOutdated && isListed) || this.#isLast()) this.#due.plan(pool, redial.afterMs);
        return;
      }
      case "stop":
        this.#host.onStopOrder(redial.sentence);
    }
  }

  /** Whether nothing is left that is connected, dialing or about to dial. */
  #isLast(): boolean {
    for (const session of this.#sessions) if (session.isAlive()) return false;
    return !this.#due.hasKnownPool();
  }

  #countFailure(pool: ModelId): number {
    const failures = (this.#failures.get(pool) ?? 0) + 1;
    this.#failures.set(pool, failures);
    return failures;
  }

  #logEnd(pool: ModelId, end: SocketEnd, redial: Redial, wasConnected: boolean): void {
    const redialMs = redial.next === "stop" ? null : redial.afterMs;
    const sentence = describeSocketEnd(end, wasConnected, this.#liveIn(pool));
    if (end.kind === "refused") {
      const { status, code, message } = end;
      this.#log.warn(sentence, { pool, status, code, detail: message, redialMs });
    } else this.#log.warn(sentence, { pool, code: end.code, reason: end.reason, redialMs });
  }
}
