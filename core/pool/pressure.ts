/**
 * The load of a pool over the last minute: how long requests hold their slots, and the share of refused requests. Only in
 * memory: a pool that has hibernated starts without data.
 */

const BUCKET_MS = 5_000;
const BUCKETS = 12;

/** Requests that are added as not refused, so that one refusal after an idle hour is no overload yet. */
const CALM_REQUESTS = 4;

interface Bucket {
  /** Which stretch of time it counts. When the bucket is needed for a later one, it starts from nothing. */
  index: number;
  arrived: number;
  refused: number;
  /** Slots that came free, and for how long they had been taken. */
  freed: number;
  heldMs: number;
  /** Those of them whose machine had the model loaded. */
  served: number;
  servedMs: number;
}

export class Pressure {
  readonly #buckets: Bucket[] = Array.from({ length: BUCKETS }, () => emptyBucket(-BUCKETS));

  arrived(now: number, requests = 1): void {
    this.#bucket(now).arrived += requests;
  }

  refused(now: number, requests = 1): void {
    this.#bucket(now).refused += requests;
  }

  /** A slot has come free that had been taken for `heldMs`, perhaps while its machine loaded the model. */
  freed(heldMs: number, hadToLoad: boolean, now: number): void {
    const bucket = this.#bucket(now);
    bucket.freed += 1;
    bucket.heldMs += heldMs;
    if (hadToLoad) return;
    bucket.served += 1;
    bucket.servedMs += heldMs;
  }

  /** How long a request holds its slot on average, at least a tick of the clock; null if none has given one back lately. */
  meanHoldMs(now: number): number | null {
    const freed = this.#sum(now, "freed");
    return freed === 0 ? null : Math.max(1, this.#sum(now, "heldMs") / freed);
  }

  /** The same of requests to machines that had the model loaded. */
  meanServiceMs(now: number): number | null {
    const served = this.#sum(now, "served");
    return served === 0 ? null : Math.max(1, this.#sum(now, "servedMs") / served);
  }

  /** From 0 up to, but not including, 1. */
  refusedShare(now: number): number {
    const refused = this.#sum(now, "refused");
    return refused / (Math.max(refused, this.#sum(now, "arrived")) + CALM_REQUESTS);
  }

  #sum(now: number, field: Exclude<keyof Bucket, "index">): number {
    const oldest = Math.floor(now / BUCKET_MS) - BUCKETS;
    let sum = 0;
    for (const bucket of this.#buckets) if (bucket.index > oldest) sum += bucket[field];
    return sum;
  }

  #bucket(now: number): Bucket {
    const index = Math.floor(now / BUCKET_MS);
    const place = index % BUCKETS;
    const known = this.#buckets[place];
    if (known?.index === index) return known;
    const bucket = emptyBucket(index);
    this.#buckets[place] = bucket;
    return bucket;
  }
}

function emptyBucket(index: number): Bucket {
  return { index, arrived: 0, refused: 0, freed: 0, heldMs: 0, served: 0, servedMs: 0 };
}
