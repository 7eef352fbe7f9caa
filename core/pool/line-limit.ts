/**
 * The limit of requests that may wait in line. A line should absorb bursts: it fills in a burst and drains before the next. A
 * standing queue only adds latency, so the fewest requests that every slot has found waiting for a while are taken off the
 * limit. (CoDel tells a standing queue from a good one in the same way, by the minimum over an interval: Nichols and Jacobson,
 * "Controlling Queue Delay", 2012.) Beyond that the limit is tuned by slot utilization and settles where slots are empty for
 * SHORTER of the time that requests hold them: each slot that is taken at once makes it smaller by that share, and each that
 * stays empty makes it larger, by the factor e in the time of one request.
 */
const SHORTER = 0.004;

/** In times that a request holds its slot. Bursts that come less often than this count as an overload each. */
const INTERVAL_HOLDS = 4;

/** What the pool is about to let a request wait for. */
export interface Wait {
  /** How long it may wait. */
  readonly waitMs: number;
  readonly slotsTaken: number;
  /** How long a request holds its slot; null if that is not measured. */
  readonly meanHoldMs: number | null;
}

/** What a slot found when it came free. */
export interface Freed {
  /** How many were waiting, the one who gets it included; 0 if nobody wanted it. */
  readonly waiting: number;
  readonly meanHoldMs: number | null;
  /** The operator's limit. */
  readonly queueMax: number;
}

interface Interval {
  readonly since: number;
  /** The fewest that a slot has found waiting. */
  readonly least: number;
}

export class LineLimit {
  #places = Infinity;
  /** What the limit came to when it was last asked for. */
  #applied = Infinity;
  #interval: Interval | null = null;
  /** Since when each empty slot has been empty with nobody in line; at most as many as a full line could fill. */
  #emptySince: number[] = [];

  freed({ waiting, meanHoldMs, queueMax }: Freed, now: number): void {
    const interval = this.#interval ?? { since: now, least: Infinity };
    const least = Math.min(interval.least, waiting);
    const isOver = meanHoldMs !== null && now - interval.since >= INTERVAL_HOLDS * meanHoldMs;
    this.#interval = isOver ? null : { ...interval, least };
    if (waiting > 0) {
      const inForce = Math.min(queueMax, this.#places, this.#applied);
      this.#places = Math.max(1, inForce * (1 - SHORTER) - (isOver ? least : 0));
    } else if (this.#emptySince.length < queueMax) this.#emptySince.push(now);
  }

  /** A request that has not waited has taken a slot. */
  taken(meanHoldMs: number | null, now: number): void {
    const since = this.#emptySince.pop();
    if (since !== undefined && meanHoldMs !== null) this.#places *= Math.exp((now - since) / meanHoldMs);
  }

  /** Nothing runs any more: the rush is over, and what was learned of it. */
  reset(): void {
    this.#places = Infinity;
    this.#applied = Infinity;
    this.#interval = null;
    this.#emptySince = [];
  }

  /** Places for those who should get their turn while they may wait; one at least, but never more than `queueMax`. */
  places({ waitMs, slotsTaken, meanHoldMs }: Wait, queueMax: number): number {
    const inTime = meanHoldMs === null || slotsTaken === 0 ? Infinity : (waitMs * slotsTaken) / meanHoldMs;
    this.#applied = Math.max(1, Math.min(this.#places, inTime));
    return Math.min(queueMax, Math.floor(this.#applied));
  }
}
