/**
 * Decides when a pool notifies the fleet of demand: at the first request while ticks are rare, and when more requests have
 * arrived than the fleet expects before its next tick. At most once until that tick, so that a flood costs one call.
 */

/** What the fleet announces with each tick. */
export interface Watch {
  /** The next tick comes soon, so a single request need not be reported. */
  readonly isLooking: boolean;
  /** More arrivals than this before the next tick are reported; null for no limit. */
  readonly surprisingArrivals: number | null;
}

/** A pool that has woken does not know when the next tick comes. */
const NOBODY_LOOKS: Watch = { isLooking: false, surprisingArrivals: null };

export class DemandWatch {
  #watch = NOBODY_LOOKS;
  #arrivals = 0;
  #hasTold = false;

  /** A tick has read the pool. */
  looked(watch: Watch): void {
    this.#watch = watch;
    this.#arrivals = 0;
    this.#hasTold = false;
  }

  /** The notification was lost: the next request sends it again. */
  unheard(): void {
    this.#hasTold = false;
  }

  /** @returns whether the fleet has to be notified now. */
  arrived(requests = 1): boolean {
    this.#arrivals += requests;
    if (this.#hasTold) return false;
    const { isLooking, surprisingArrivals } = this.#watch;
    const isSurprise = surprisingArrivals !== null && this.#arrivals >= surprisingArrivals;
    if (isLooking && !isSurprise) return false;
    this.#hasTold = true;
    return true;
  }
}
