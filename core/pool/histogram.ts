import type { Totals } from "./totals.ts";

/** A histogram kept as totals, one for each bucket and one for the sum, so that it rises over all lives of a pool. */

export interface HistogramSpec {
  readonly name: string;
  /** Upper bounds of the buckets in seconds, rising. One more bucket takes what is above the last. */
  readonly boundsS: readonly number[];
}

export interface HistogramReading {
  /** For each bound how many values were at most that, and last how many there were in all. */
  readonly cumulative: readonly number[];
  readonly sumS: number;
}

/** From when all of the request was at the edge to the first token. */
export const TTFT: HistogramSpec = {
  name: "ttft",
  boundsS: [0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 15, 30, 60],
};

/** From the arrival in the pool to the machine. */
export const QUEUE_WAIT: HistogramSpec = {
  name: "queue_wait",
  boundsS: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 6, 10, 30],
};

export class Histogram {
  readonly #totals: Totals;
  readonly #boundsS: readonly number[];
  readonly #buckets: readonly string[];
  readonly #sum: string;

  constructor(totals: Totals, spec: HistogramSpec) {
    this.#totals = totals;
    this.#boundsS = spec.boundsS;
    this.#buckets = bucketNames(spec);
    this.#sum = sumName(spec);
  }

  observe(ms: number): void {
    const seconds = ms / 1000;
    // The one above all bounds comes last, which is where -1 points to.
    const found = this.#boundsS.findIndex((bound) => seconds <= bound);
    const bucket = this.#buckets.at(found);
    if (bucket !== undefined) this.#totals.add(bucket);
    this.#totals.add(this.#sum, seconds);
  }
}

export function readHistogram(totals: ReadonlyMap<string, number>, spec: HistogramSpec): HistogramReading {
  let count = 0;
  const cumulative = bucketNames(spec).map((name) => (count += totals.get(name) ?? 0));
  return { cumulative, sumS: totals.get(sumName(spec)) ?? 0 };
}

function bucketNames({ name, boundsS }: HistogramSpec): string[] {
  return [...boundsS, "more"].map((bound) => `${name}.at_most.${bound}`);
}

function sumName({ name }: HistogramSpec): string {
  return `${name}.sum`;
}
