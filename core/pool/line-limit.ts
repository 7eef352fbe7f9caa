/**
 * How many requests may wait in line. A line bridges gaps between arrivals. While more comes than the machines can take
 * there are hardly any, and a long line only makes everybody wait for the whole of it. So the limit follows what slots
 * find when they come free: somebody each time makes it shorter, and time that they then stay empty makes it longer.
 * It comes to rest where slots are empty for SHORTER / LONGER of the time that requests hold them.
 */
const SHORTER = 0.008;
const LONGER = 1;

/** What the pool is about to let a request wait for. */
export interface Wait {
  /** How long it may wait. */
  readonly waitMs: number;
  readonly slotsTaken: number;
  /** How long a request holds its slot; null if that is not measured. */
  readonly meanHoldMs: number | null;
}

export class LineLimit {
  #places = Infinity;
  /** Since when slots are empty that nobody has waited for; as many as a line could have filled. */
  #emptySince: number[] = [];

  /**
   * A slot has come free.
   * @param isWanted whether somebody has waited for it.
   * @param queueMax the operator's limit.
   */
  freed(isWanted: boolean, queueMax: number, now: number): void {
    if (isWanted) this.#places = Math.max(1, Math.min(queueMax, this.#places) * Math.exp(-SHORTER));
    else if (this.#emptySince.length < queueMax) this.#emptySince.push(now);
  }

  /** A request that has not waited has taken a slot. */
  taken(meanHoldMs: number | null, now: number): void {
    const since = this.#emptySince.pop();
    if (since !== undefined && meanHoldMs !== null) {
      this.#places *= Math.exp((LONGER * (now - since)) / meanHoldMs);
    }
  }

  /** Nothing runs any more: the rush is over, and what was learned of it. */
  reset(): void {
    this.#places = Infinity;
    this.#emptySince = [];
  }

  /** Places for those who should get their turn while they may wait; one at least, but never more than `queueMax`. */
  places({ waitMs, slotsTaken, meanHoldMs }: Wait, queueMax: number): number {
    const inTime = meanHoldMs === null || slotsTaken === 0 ? Infinity : (waitMs * slotsTaken) / meanHoldMs;
    return Math.min(queueMax, Math.max(1, Math.floor(Math.min(this.#places, inTime))));
  }
}
