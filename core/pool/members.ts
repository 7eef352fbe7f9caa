import { CLOSE, type CloseReason } from "../../protocol/close-codes.ts";
import type { MachineId, ModelId } from "../../protocol/ids.ts";
import { LIVENESS_TIMEOUT_MS, REGISTER_TIMEOUT_MS } from "../../protocol/limits.ts";
import {
  DRAIN_TIMEOUT_MS,
  RECONNECT_GRACE_MS,
  RELEASED_SOCKET_MS,
  SILENCE_CHECK_INTERVAL_MS,
} from "../limits.ts";
import { compareVersions } from "../semver.ts";
import type { Connection, ConnectionState } from "./connection.ts";
import type { PoolMemory } from "./ports.ts";
import type { PoolRecord } from "./record.ts";
import { Seats } from "./seats.ts";

/**
 * The sockets of a pool and their machines: at most one admitted socket per machine (H11), closed when it is silent, did not
 * register, or its machine belongs elsewhere. Also the machines that were just lost and may come back.
 */

export interface MembersHost {
  /** The socket is gone, with everything that ran on it. */
  onDropped(connection: Connection, now: number): void;
  recordOf(machineId: MachineId): PoolRecord | null;
  isCordoned(machineId: MachineId): boolean;
  /** Keeps across restarts which machines are here. */
  remember(machineId: MachineId): void;
  forget(machineId: MachineId): void;
  /** It has gone in order, and will not be back at once. */
  onLeft(machineId: MachineId, sessionId: string): void;
}

type Lost = Pick<ConnectionState, "identity" | "registration" | "retiresAt">;

export class Members {
  readonly seats: Seats;
  readonly #host: MembersHost;
  readonly #sockets = new Set<Connection>();
  /** Those of released machines and of retired providers: few, and asked for with each message that comes. */
  readonly #leaving = new Set<Connection>();
  readonly #startedAt: number;
  readonly #remembered: () => readonly MachineId[];
  /** As `#missing`; null as long as nobody has asked. */
  #missed: Set<MachineId> | null = null;
  /** Until when a machine that has just vanished, without announcing a stop, is waited for. */
  #lostUntil = 0;
  #nextSweepAt = 0;

  constructor(
    model: ModelId,
    host: MembersHost,
    { sleepers, remembered }: Pick<PoolMemory, "sleepers" | "remembered">,
    now: number,
  ) {
    this.seats = new Seats(model, sleepers);
    this.#host = host;
    this.#remembered = remembered;
    this.#startedAt = now;
  }

  /** Machines that were here when an earlier life of the pool ended and are not back yet. */
  get #missing(): Set<MachineId> {
    // Whoever has come or gone in this life is kept as such, so it makes no difference when this is read.
    this.#missed ??= new Set(
      this.#remembered().filter((machineId) => this.seats.get(machineId) === undefined),
    );
    return this.#missed;
  }

  /** Every open socket, registered or not. */
  sockets(): Iterable<Connection> {
    this.seats.wakeAll();
    return this.#sockets;
  }

  *socketsOf(machineId: MachineId): Generator<Connection> {
    for (const connection of this.sockets())
      if (connection.identity.machineId === machineId) yield connection;
  }

  /** Takes a socket in; one that survived hibernation registered counts as admitted. */
  add(connection: Connection): void {
    this.#sockets.add(connection);
    this.#noteLeaving(connection);
    if (connection.registration === null) return;
    this.seats.put(connection);
    this.#missed?.delete(connection.identity.machineId);
  }

  /** Gives a socket the pool's record of its machine. */
  setRecord(connection: Connection, record: PoolRecord): void {
    connection.record = record;
    this.#noteLeaving(connection);
  }

  /**
   * From now on this is the machine's socket.
   * @returns those it replaces, which the caller closes: the one before it, and older ones that the fleet has not answered
   *   yet, since a late answer would put the machine back on a socket that it has left.
   */
  admit(connection: Connection): Connection[] {
    const { machineId } = connection.identity;
    const admitted = this.seats.get(machineId);
    const replaced = admitted === undefined || admitted === connection ? [] : [admitted];
    for (const other of this.socketsOf(machineId)) {
      // Those behind it were dialed after it.
      if (other === connection) break;
      if (other !== admitted && other.admitting !== null) replaced.push(other);
    }
    this.seats.put(connection);
    this.#missed?.delete(machineId);
    this.#host.remember(machineId);
    return replaced;
  }

  close(connection: Connection, reason: CloseReason, now: number, detail?: string): void {
    connection.socket.close(reason, detail);
    this.#drop(connection, now);
  }

  /** Closes several at once, so that what ran on one of them is not sent to another of them. */
  closeTogether(leaving: readonly Connection[], reason: CloseReason, now: number, detail?: string): void {
    for (const connection of leaving) {
      const { registration } = connection;
      if (registration !== null) connection.registration = { ...registration, accepting: false };
    }
    for (const connection of leaving) this.close(connection, reason, now, detail);
  }

  /** The socket has closed by the machine's doing or the network's. */
  disconnected(connection: Connection, now: number, code: number): void {
    if (connection.closed) return;
    this.#noteGoodbye(connection, code);
    // One below the demanded trust level got no requests, and none wait for it.
    if (now < connection.trustedUntil) this.#noteLoss(connection, now);
    this.#drop(connection, now);
  }

  /** A socket that had slept with the pool and was closed before it woke. */
  lostAsleep(state: ConnectionState, now: number, code: number): void {
    // If it is not missing, another socket of it is here, or it had left before.
    const { machineId } = state.identity;
    if (!this.#missing.delete(machineId)) return;
    this.#host.forget(machineId);
    this.#noteGoodbye(state, code);
    this.#noteLoss(state, now);
  }

  /** A machine that takes no more work and then closes its socket by itself has been stopped, and nothing is broken. */
  #noteGoodbye({ identity, registration }: Lost, code: number): void {
    if (registration === null || registration.accepting || !GOODBYES.has(code)) return;
    this.#host.onLeft(identity.machineId, registration.sessionId);
  }

  /** A machine that served here and did not announce a stop is likely to be back in a moment. */
  #noteLoss({ identity, registration, retiresAt }: Lost, now: number): void {
    if (registration?.accepting !== true || retiresAt !== null) return;
    if (this.#mayServe(identity.machineId)) this.#lostUntil = now + RECONNECT_GRACE_MS;
  }

  /** Until when a machine that was here a moment ago may come back (H19), ms since the epoch. */
  expectingUntil(): number {
    for (const machineId of this.#missing) {
      if (!this.#mayServe(machineId)) continue;
      return Math.max(this.#startedAt + RECONNECT_GRACE_MS, this.#lostUntil);
    }
    return this.#lostUntil;
  }

  /** Whether no machine is here, and none is missing that was here when the pool started. */
  get isEmpty(): boolean {
    return this.seats.isEmpty && this.#missing.size === 0;
  }

  /**
   * Retires the providers that the least version leaves out, and takes back those it lets in again. Nothing new goes to them;
   * what runs may end within the time of a drain.
   */
  heedLeastVersion(least: string, now: number): void {
    for (const connection of this.seats.all()) {
      const { registration, retiresAt } = connection;
      const isOut = registration !== null && isOlder(registration.version, least);
      if (isOut === (retiresAt !== null)) continue;
      connection.retiresAt = isOut ? now + DRAIN_TIMEOUT_MS : null;
      this.#noteLeaving(connection);
      connection.save();
    }
    this.closeRetired(now);
  }

  /** What they ran is not sent to another retired one: those take nothing new. */
  closeRetired(now: number): void {
    for (const connection of this.#leaving) {
      const at = retiredUntil(connection);
      if (at !== null && now >= at) this.close(connection, "tooOld", now);
    }
  }

  /** Closes what has to go, if the last look is long enough ago (H20). */
  sweepIfDue(now: number): void {
    if (now < this.#nextSweepAt) return;
    this.#nextSweepAt = now + SILENCE_CHECK_INTERVAL_MS;
    this.sweep(now);
  }

  sweep(now: number): void {
    for (const connection of this.sockets()) {
      const unregisteredFor = isUnregistered(connection) ? now - connection.identity.acceptedAt : 0;
      if (now - connection.lastSeenAt() > LIVENESS_TIMEOUT_MS) this.close(connection, "silent", now);
      else if (unregisteredFor > REGISTER_TIMEOUT_MS) {
        this.close(
          connection,
          "notRegistered",
          now,
          connection.admitting === null ? undefined : UNPROVEN_CLAIM,
        );
      } else this.closeReleased(connection, now);
    }
    if (now > this.#startedAt + RECONNECT_GRACE_MS) {
      for (const machineId of this.#missing) this.#host.forget(machineId);
      this.#missing.clear();
    }
  }

  /** A socket of a machine that belongs elsewhere stays for what runs on it, and while the machine may need it (H6). */
  closeReleased(connection: Connection, now: number): void {
    const dueAt = releasedUntil(connection);
    if (dueAt !== null && now >= dueAt) this.close(connection, "released", now);
  }

  /** When a sweep is due while the pool is awake; null if only life signs are to be watched. */
  nextSweepAt(): number | null {
    let at = this.#missing.size > 0 ? this.#startedAt + RECONNECT_GRACE_MS + 1 : Infinity;
    for (const connection of this.sockets()) {
      if (isUnregistered(connection)) {
        at = Math.min(at, connection.identity.acceptedAt + REGISTER_TIMEOUT_MS + 1);
      }
    }
    return at === Infinity ? null : Math.max(at, this.#nextSweepAt);
  }

  /** When a socket has to go even if the pool sleeps until then: of a released machine, at a sweep, or of a retired one. */
  nextGoodbyeAt(): number | null {
    let releaseAt = Infinity;
    let retireAt = Infinity;
    for (const connection of this.#leaving) {
      releaseAt = Math.min(releaseAt, releasedUntil(connection) ?? Infinity);
      retireAt = Math.min(retireAt, retiredUntil(connection) ?? Infinity);
    }
    const at = Math.min(Math.max(releaseAt, this.#nextSweepAt), retireAt);
    return at === Infinity ? null : at;
  }

  /**
   * Whether a machine that comes back will serve here. One that belongs to another pool, has yet to load or is cordoned is
   * nothing to wait for.
   */
  #mayServe(machineId: MachineId): boolean {
    const record = this.#host.recordOf(machineId);
    const isOurs = record === null || record.mode === "unmanaged" || record.mode === "assigned";
    return isOurs && !this.#host.isCordoned(machineId);
  }

  #noteLeaving(connection: Connection): void {
    const isLeaving = connection.record?.mode === "released" || connection.retiresAt !== null;
    if (isLeaving) this.#leaving.add(connection);
    else this.#leaving.delete(connection);
  }

  #drop(connection: Connection, now: number): void {
    connection.closed = true;
    this.#sockets.delete(connection);
    this.#leaving.delete(connection);
    if (this.seats.remove(connection)) this.#host.forget(connection.identity.machineId);
    this.#host.onDropped(connection, now);
  }
}

/** Close codes of a machine that goes of its own will. */
const GOODBYES: ReadonlySet<number> = new Set([CLOSE.normal.code, CLOSE.goingAway.code]);

const UNPROVEN_CLAIM = "another program is connected as this machine, and no proof of its key has come";

/** Without a register, or with one that counts for nothing yet. */
function isUnregistered({ registration, admitting }: Connection): boolean {
  return registration === null && (admitting === null || admitting.mustProve);
}

/** When an idle socket of a released machine closes; null if it is busy or not released. */
function releasedUntil({ record, registration, attempts, isDismissed }: Connection): number | null {
  if (record?.mode !== "released" || registration === null || attempts.size > 0) return null;
  return isDismissed ? 0 : record.since + RELEASED_SOCKET_MS;
}

/** When the socket of a provider that has become too old closes; null if it has not. */
function retiredUntil({ retiresAt, attempts }: Connection): number | null {
  return retiresAt === null || attempts.size > 0 ? retiresAt : 0;
}

/** Whether a provider of this version may not serve; by `none` every one may. */
export function isOlder(version: string | null, least: string): boolean {
  return compareVersions(version, least) < 0;
}
