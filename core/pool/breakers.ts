import type { MachineId } from "../../protocol/ids.ts";
import { BREAKER_FAULTS, BREAKER_MAX_MS, BREAKER_MIN_MS } from "../limits.ts";
import type { Connection } from "./connection.ts";
import type { PoolRequest } from "./request.ts";

/**
 * Circuit breakers of machines. After several faults in a row a machine's breaker opens for a while. Then it is half-open: one
 * request at a time may try the machine, a success closes the breaker, and another fault opens it for twice as long. A breaker
 * belongs to the machine and not to its socket, so redialing does not reset it. It is lost when the pool hibernates, which
 * costs a few requests another attempt.
 *
 * `failure.ts` decides what counts as a fault. Later attempts show who is to blame: if a request fails on every machine, none
 * of them is.
 */

export interface Breaker {
  /** Faults without a success in between. */
  faults: number;
  /** No request before this time; 0 while the breaker is closed. Afterwards one at a time, until one succeeds. */
  openUntil: number;
  /** When it opened last; 0 while it is closed. */
  openedAt: number;
  backOffMs: number;
}

/** A fault of which it is not known yet whether the machine or the request is to blame. */
export interface Suspicion {
  readonly machineId: MachineId;
  /** When it failed, ms since the epoch. */
  readonly at: number;
}

const CLOSED: Breaker = { faults: 0, openUntil: 0, openedAt: 0, backOffMs: 0 };

/** Most machines with a breaker; beyond that the oldest is forgotten. */
const BREAKERS_MAX = 1_000;

export class Breakers {
  readonly #connections: () => Iterable<Connection>;
  readonly #breakers = new Map<MachineId, Breaker>();

  /** @param connections the present socket of each machine. */
  constructor(connections: () => Iterable<Connection>) {
    this.#connections = connections;
  }

  get isEmpty(): boolean {
    return this.#breakers.size === 0;
  }

  /** The breaker of a machine that has failed of late; null if it has not. */
  of(machineId: MachineId): Breaker | null {
    return this.#breakers.get(machineId) ?? null;
  }

  /**
   * A fault in the middle of an answer is the machine's own. Of any other it is only suspected, until another machine
   * answers.
   */
  blame(request: PoolRequest, connection: Connection, now: number): void {
    const { breaker, identity } = connection;
    const suspicion = { machineId: identity.machineId, at: now };
    if (request.streamed) {
      this.#failed(suspicion, now);
      return;
    }
    request.suspicions.push(suspicion);
    // The trial of a breaker that was open: no other until this one is decided.
    if (breaker !== null && breaker.openUntil > 0) breaker.openUntil = now + breaker.backOffMs;
  }

  /** Another machine's answer has begun to reach the client, so it was not the request that made the suspects fail. */
  convict(request: PoolRequest, now: number): void {
    if (request.suspicions.length === 0) return;
    for (const suspicion of request.suspicions) this.#failed(suspicion, now);
    request.suspicions = [];
  }

  succeeded(connection: Connection): void {
    const { breaker, identity } = connection;
    if (breaker === null) return;
    // An older socket of the machine may still carry it.
    Object.assign(breaker, CLOSED);
    connection.breaker = null;
    this.#breakers.delete(identity.machineId);
  }

  #failed({ machineId, at }: Suspicion, now: number): void {
    const breaker = this.of(machineId) ?? this.#add(machineId);
    // The machine may have dialed anew since.
    for (const present of this.#connections()) {
      if (present.identity.machineId === machineId) present.breaker = breaker;
    }
    // An engine that dies takes all its requests with it: those that failed before the breaker opened have opened it.
    if (at <= breaker.openedAt) return;
    breaker.faults += 1;
    if (breaker.faults < BREAKER_FAULTS) return;
    breaker.backOffMs = Math.min(BREAKER_MAX_MS, Math.max(BREAKER_MIN_MS, 2 * breaker.backOffMs));
    breaker.openUntil = now + breaker.backOffMs;
    breaker.openedAt = now;
  }

  #add(machineId: MachineId): Breaker {
    if (this.#breakers.size >= BREAKERS_MAX) {
      for (const oldest of this.#breakers.keys()) {
        this.#breakers.delete(oldest);
        break;
      }
    }
    const breaker = { ...CLOSED };
    this.#breakers.set(machineId, breaker);
    return breaker;
  }
}
