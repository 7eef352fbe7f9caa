/**
 * When a pool tells the fleet, unasked, that it is in demand: at its first request after the fleet has stopped looking, and when
 * more requests have come than the fleet expects before its next look. Once until that look, so a flood costs one call.
 */

/** What the fleet says with each look. */
export interface Watch {
  /** It looks again within a regular tick, so a request by itself is no news. */
  readonly isLooking: boolean;
  /** So many arrivals before the next look would be a surprise; null if none would. */
  readonly surprisingArrivals: number | null;
}

/** A pool that woke up does not know whether anybody looks. */
const NOBODY_LOOKS: Watch = { isLooking: false, surprisingArrivals: null };

export class DemandWatch {
  #watch = NOBODY_LOOKS;
  #arrivals = 0;
  #hasTold = false;

  /** The fleet has looked. */
  looked(watch: Watch): void {
    this.#watch = watch;
    this.#arrivals = 0;
    this.#hasTold = false;
  }

  /** The fleet has not heard: the next request tells it. */
  unheard(): void {
    this.#hasTold = false;
  }

  /** @returns whether the fleet must be told now. */
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
