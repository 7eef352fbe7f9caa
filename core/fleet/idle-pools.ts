import { IDLE_TOTALS_MS } from "../limits.ts";
import type { PoolReply, ReadCall } from "../pool/calls.ts";

/**
 * A cache of the counters of idle pools, so that a pool is not woken to report the same numbers again.
 *
 * Only requests change the counters, and a pool notifies the fleet of the first request after it was read, unless the fleet
 * has announced that it reads it anyway (see `DemandWatch`). So the numbers of a pool without open requests stay valid until
 * such a notification or announcement. In case a notification is lost, they expire after an hour.
 */
export class IdlePools {
  readonly #store: IdlePoolStore;
  /** The newest question for each pool's counters, if nothing has come since that the answer might lack. */
  readonly #asked = new Map<string, ReadCall>();

  constructor(store: IdlePoolStore) {
    this.#store = store;
  }

  /** A pool is read now, for its counters or for something else. */
  asked(pool: string, call: ReadCall): void {
    const willTell = call.watch?.isLooking === false;
    if (call.withTotals && willTell) this.#asked.set(pool, call);
    else if (call.withTotals || call.watch?.isLooking === true) this.forget(pool);
  }

  /** Its counters may change from now on, or have changed. */
  forget(pool: string): void {
    this.#asked.delete(pool);
    this.#store.removeIdlePool(pool);
  }

  /** The answer has come: it holds from now on if no request was open, and if nothing was heard of the pool meanwhile. */
  answered(pool: string, call: ReadCall, { report, totals }: ReportReply, now: number): void {
    if (this.#asked.get(pool) !== call) return;
    this.#asked.delete(pool);
    const isIdle = report.inFlight + report.queued === 0;
    if (isIdle && totals !== null) this.#store.saveIdlePool({ pool, readAt: now, totals });
  }

  /** What those of these pools have counted of which it is known. All other pools are forgotten. */
  totalsOf(pools: readonly string[], now: number): Map<string, ReadonlyMap<string, number>> {
    const known = new Map<string, ReadonlyMap<string, number>>();
    for (const { pool, readAt, totals } of this.#store.idlePools()) {
      if (!pools.includes(pool)) this.forget(pool);
      else if (now - readAt < IDLE_TOTALS_MS) known.set(pool, totals);
    }
    return known;
  }
}

export interface IdlePool {
  readonly pool: string;
  readonly readAt: number;
  readonly totals: ReadonlyMap<string, number>;
}

export interface IdlePoolStore {
  idlePools(): IdlePool[];
  saveIdlePool(idle: IdlePool): void;
  removeIdlePool(pool: string): void;
}

type ReportReply = Extract<PoolReply, { kind: "report" }>;
