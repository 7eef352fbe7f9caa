import type { Totals } from "./totals.ts";
import type { Tokens } from "./usage.ts";

/**
 * The demand of a pool, minute by minute, refused requests included: a model that refuses everybody is in demand, and counting
 * only answers would not show it (F8). An arrival is counted before anything is decided about it. Counts are kept in memory
 * and written periodically, like usage: by minute for reports and traces, and as totals for the fleet's tick.
 */

export interface DemandRow {
  /** Start of the minute, ms since the epoch. */
  readonly minuteAt: number;
  /** Requests that came, those refused included; a client's own retry is another request. */
  readonly arrivals: number;
  /** Prompt tokens of all arrivals, estimated from their length. */
  readonly promptTokens: number;
  /** Requests answered in full, and the tokens generated for them as machines counted. */
  readonly completed: number;
  readonly completionTokens: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const MINUTE_MS = 60_000;

const ARRIVALS = "demand.arrivals";
const GOOD = "demand.good";
const ANSWERED = "demand.answered";
const PROMPT_TOKENS = "demand.prompt_tokens";
const COMPLETION_TOKENS = "demand.completion_tokens";

/** Totals of demand and answers since the pool exists. */
export interface DemandTotals {
  readonly arrivals: number;
  /** Those of them that were answered in full and in time. */
  readonly good: number;
  readonly answered: number;
  /** Tokens of the answered ones, as machines counted. */
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export class Demand {
  readonly #rows = new Map<number, Mutable<DemandRow>>();
  readonly #totals: Totals;

  constructor(totals: Totals) {
    this.#totals = totals;
  }

  /** @param requests more than one if they were refused at the edge and are told together. */
  arrived(promptTokens: number, now: number, requests = 1): void {
    const row = this.#row(now);
    row.arrivals += requests;
    row.promptTokens += promptTokens;
    this.#totals.add(ARRIVALS, requests);
  }

  /** @param isGood it was served in time. */
  completed({ promptTokens, completionTokens }: Tokens, isGood: boolean, now: number): void {
    const row = this.#row(now);
    row.completed += 1;
    row.completionTokens += completionTokens;
    this.#totals.add(ANSWERED);
    this.#totals.add(GOOD, isGood ? 1 : 0);
    this.#totals.add(PROMPT_TOKENS, promptTokens);
    this.#totals.add(COMPLETION_TOKENS, completionTokens);
  }

  totals(): DemandTotals {
    return {
      arrivals: this.#totals.get(ARRIVALS),
      good: this.#totals.get(GOOD),
      answered: this.#totals.get(ANSWERED),
      promptTokens: this.#totals.get(PROMPT_TOKENS),
      completionTokens: this.#totals.get(COMPLETION_TOKENS),
    };
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0;
  }

  /** Takes everything counted since the last call. */
  drain(): DemandRow[] {
    const rows = [...this.#rows.values()];
    this.#rows.clear();
    return rows;
  }

  #row(now: number): Mutable<DemandRow> {
    const minuteAt = now - (now % MINUTE_MS);
    const known = this.#rows.get(minuteAt);
    if (known !== undefined) return known;
    const row = { minuteAt, arrivals: 0, promptTokens: 0, completed: 0, completionTokens: 0 };
    this.#rows.set(minuteAt, row);
    return row;
  }
}
