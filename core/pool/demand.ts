/**
 * What was asked of a pool, minute by minute, whether it was served or refused: a model that turns everybody away is
 * in demand, and a count of answers alone would never show it (F8). An arrival is counted before anything is decided
 * about it. Counted in memory and written now and then, like usage.
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

export class Demand {
  readonly #rows = new Map<number, Mutable<DemandRow>>();

  /** @param promptTokens of all of them */
  arrived(promptTokens: number, now: number, requests = 1): void {
    const row = this.#row(now);
    row.arrivals += requests;
    row.promptTokens += promptTokens;
  }

  completed(completionTokens: number, now: number): void {
    const row = this.#row(now);
    row.completed += 1;
    row.completionTokens += completionTokens;
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
