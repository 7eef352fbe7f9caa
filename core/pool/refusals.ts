import { isForLackOfRoom, type ApiError, type ApiErrorCode } from "../api-error.ts";
import type { Connection } from "./connection.ts";
import type { ExpectedLoad } from "./loads.ts";
import type { Pressure } from "./pressure.ts";
import type { PoolRequest } from "./request.ts";
import { retryAfterS } from "./retry-after.ts";

/**
 * The last step of every refusal: adds `Retry-After`, and for how long the edge may repeat the refusal. Both follow from the
 * pool's measurements, so the callers only give the reason.
 */

export interface RefusalsView {
  connections(): Iterable<Connection>;
  /** The machine on its way here that is ready first. */
  nextLoad(now: number): ExpectedLoad | null;
  /** A machine that was here a moment ago may come back before this time (ms since the epoch). */
  expectingMachinesUntil(): number;
  /** From 0 up to, but not including, 1; another each time. */
  random(): number;
}

/** The load of the pool when a request is refused. */
export interface Crowd {
  readonly slotsTaken: number;
  readonly waiting: number;
}

/** Seconds that some reasons demand, whatever has been measured. */
const LEAST_S: Partial<Record<ApiErrorCode, number>> = {
  // An exhausted pool gets a machine by a placement tick and a load at best, so coming back sooner is of no use (C3).
  pool_exhausted: 10,
  model_unavailable: 10,
  // How long a switch takes at best.
  machine_busy: 5,
  machine_offline: 10,
  // Operators do not switch a model off for seconds.
  model_shed: 40,
};

/** Refusals for want of a machine, which no free slot would help. */
const WITHOUT_MACHINE: readonly ApiErrorCode[] = ["pool_exhausted", "model_unavailable", "machine_offline"];

/** How long a request is taken to hold its slot while none has been measured. */
const ASSUMED_HOLD_MS = 10_000;
const FOREIGN_HOLD_MS = 2_000;

/** The edge answers by itself for this long at most; shorter while a machine may come at any moment. */
const LONGEST_HOLD_MS = 1_000;
const HOLD_BEFORE_ARRIVAL_MS = 250;

export class Refusals {
  readonly #pool: RefusalsView;
  readonly #pressure: Pressure;

  constructor(pool: RefusalsView, pressure: Pressure) {
    this.#pool = pool;
    this.#pressure = pressure;
  }

  /** The error as the client gets it. Only one for lack of room has anything added. */
  complete(error: ApiError, request: PoolRequest, crowd: Crowd, now: number): ApiError {
    if (!isForLackOfRoom(error.code)) return error;
    const waitS = this.#waitMs(error.code, crowd, now) / 1000;
    const share = this.#pressure.refusedShare(now);
    return {
      ...error,
      retryAfterS: retryAfterS(waitS, LEAST_S[error.code] ?? 1, share, this.#pool.random()),
      holdsForMs: holdsForOthers(error.code, request) ? this.#holdsForMs(error.code, crowd, now) : 0,
      // A full line may still admit a request of a key with a smaller share of it.
      holdsForKey: error.code === "queue_full",
    };
  }

  /** Until a machine or a slot can be had, as far as is known. */
  #waitMs(code: ApiErrorCode, crowd: Crowd, now: number): number {
    const loadMs = this.#pool.nextLoad(now)?.readyInMs ?? null;
    if (WITHOUT_MACHINE.includes(code)) return loadMs ?? 0;
    return Math.min(this.#drainMs(crowd, crowd.waiting + 1, now), loadMs ?? Infinity);
  }

  #holdsForMs(code: ApiErrorCode, crowd: Crowd, now: number): number {
    if (code === "model_shed") return LONGEST_HOLD_MS;
    if (code === "pool_exhausted") return this.#mayGetMachine(now) ? HOLD_BEFORE_ARRIVAL_MS : LONGEST_HOLD_MS;
    // Half of the time in which the line drains, so that no slot comes free that nobody waits for. Never on a guess.
    if (code !== "queue_full" || this.#pressure.meanHoldMs(now) === null) return 0;
    return Math.floor(Math.min(LONGEST_HOLD_MS, this.#drainMs(crowd, crowd.waiting, now) / 2));
  }

  /** Until `requests` have been served: the slots in use become free one after the other. */
  #drainMs({ slotsTaken }: Crowd, requests: number, now: number): number {
    // The machines are busy for other pools, and nothing says when that ends.
    if (slotsTaken === 0) return FOREIGN_HOLD_MS;
    return (requests * (this.#pressure.meanHoldMs(now) ?? ASSUMED_HOLD_MS)) / slotsTaken;
  }

  /** A machine is on its way, or here and out of use for a reason that may pass. */
  #mayGetMachine(now: number): boolean {
    if (now < this.#pool.expectingMachinesUntil()) return true;
    if (this.#pool.nextLoad(now) !== null) return true;
    for (const { record } of this.#pool.connections()) {
      if (record?.mode !== "released" && record?.mode !== "failed") return true;
    }
    return false;
  }
}

/**
 * A refusal to the public says nothing about an owner's own machines, and that there is no room for a long prompt or body nothing
 * about short ones.
 */
function holdsForOthers(code: ApiErrorCode, { spec, need, isLong }: PoolRequest): boolean {
  const isForItsLength = code === "queue_full" && (need !== null || isLong);
  return spec.owner === null && !isForItsLength;
}
