/**
 * The limits of one API key: how many requests it may make and how many tokens it may use within any minute. A window
 * slides over the last 60 s in small steps, so that no minute, wherever it begins, holds more than the limit; a window
 * that starts afresh every minute would let twice as much through around its start.
 *
 * Tokens are only known when a request has ended. So it reserves what it may use when it is let in, and settles with
 * what it did use: what was too much goes back to the moment it was taken.
 */

/** Null is no limit. */
export interface RateLimits {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
}

/** What a request would use. */
export interface RateQuestion {
  readonly promptTokens: number;
  /** The longest answer it asks for; null if it does not say. */
  readonly answerTokens: number | null;
}

/** Tokens held for a request until it has ended. */
export interface Reservation {
  readonly at: number;
  readonly tokens: number;
}

export interface Standing {
  readonly limit: number;
  readonly remaining: number;
  /** Until all of the limit is there again. */
  readonly resetMs: number;
}

/** Where a key stands; null where it has no limit. */
export interface Standings {
  readonly requests: Standing | null;
  readonly tokens: Standing | null;
}

export type RateVerdict =
  | { readonly admitted: true; readonly reservation: Reservation; readonly standings: Standings }
  | {
      readonly admitted: false;
      readonly limitedBy: "requests" | "tokens";
      readonly retryAfterMs: number;
      readonly standings: Standings;
    };

/** Held for the answer of a request that names no longest one. */
export const DEFAULT_ANSWER_TOKENS = 1024;

export class RateWindow {
  readonly #requests = new MinuteSum();
  readonly #tokens = new MinuteSum();

  /** A refused request uses nothing up. */
  admit(limits: RateLimits, question: RateQuestion, now: number): RateVerdict {
    this.#requests.advance(now);
    this.#tokens.advance(now);
    const requestWaitMs = this.#requests.waitMs(1, limits.requestsPerMinute);
    if (requestWaitMs > 0) return this.#refusal(limits, "requests", requestWaitMs);
    const { needed, reserved } = this.#tokensFor(limits.tokensPerMinute, question);
    const tokenWaitMs = this.#tokens.waitMs(needed, limits.tokensPerMinute);
    if (tokenWaitMs > 0) return this.#refusal(limits, "tokens", tokenWaitMs);
    this.#requests.add(1, now);
    this.#tokens.add(reserved, now);
    return { admitted: true, reservation: { at: now, tokens: reserved }, standings: this.#standings(limits) };
  }

  /** The request has ended and used this many tokens. Call it once. */
  settle({ at, tokens }: Reservation, used: number, now: number): void {
    this.#tokens.advance(now);
    this.#tokens.correct(used - tokens, at, now);
  }

  /** From when on nothing is left to remember, in ms since the epoch. */
  emptyAt(): number {
    return Math.max(this.#requests.emptyAt(), this.#tokens.emptyAt());
  }

  /**
   * More than the whole limit is never asked for, or such a request would wait for ever: it is let in alone, and what
   * it uses counts. One that names no longest answer takes for it what is left, so that it fits wherever its prompt does.
   */
  #tokensFor(
    limit: number | null,
    { promptTokens, answerTokens }: RateQuestion,
  ): { readonly needed: number; readonly reserved: number } {
    if (limit === null) return { needed: 0, reserved: 0 };
    const needed = Math.min(limit, promptTokens + (answerTokens ?? 0));
    if (answerTokens !== null) return { needed, reserved: needed };
    const left = Math.max(0, limit - this.#tokens.total);
    return { needed, reserved: Math.min(left, promptTokens + DEFAULT_ANSWER_TOKENS) };
  }

  #refusal(limits: RateLimits, limitedBy: "requests" | "tokens", retryAfterMs: number): RateVerdict {
    return { admitted: false, limitedBy, retryAfterMs, standings: this.#standings(limits) };
  }

  #standings({ requestsPerMinute, tokensPerMinute }: RateLimits): Standings {
    return {
      requests: this.#requests.standing(requestsPerMinute),
      tokens: this.#tokens.standing(tokensPerMinute),
    };
  }
}

const WINDOW_MS = 60_000;
const CELL_MS = 250;
/** The cells of the window, and one more for the time that the oldest is still partly inside. */
const CELLS = WINDOW_MS / CELL_MS + 1;

/** A sum over the last minute. Whatever was added counts for 60 s at least, and for one cell more at most. */
class MinuteSum {
  readonly #cells = new Float64Array(CELLS);
  /** Number of the newest cell, counted from the epoch. */
  #newest = 0;
  total = 0;

  /** Lets go of what is older than a minute. Time that goes backwards counts as standing still. */
  advance(now: number): void {
    const cell = Math.max(this.#newest, cellOf(now));
    const passed = Math.min(CELLS, cell - this.#newest);
    for (let number = cell - passed + 1; number <= cell; number++) {
      const index = number % CELLS;
      this.total -= this.#cells[index] ?? 0;
      this.#cells[index] = 0;
    }
    this.#newest = cell;
  }

  add(amount: number, at: number): void {
    const index = Math.min(this.#newest, cellOf(at)) % CELLS;
    this.#cells[index] = (this.#cells[index] ?? 0) + amount;
    this.total += amount;
  }

  /**
   * Adds to what was added at `at`. If that has been let go of, more counts now, and less no longer matters. Nor is
   * more given back than there is: a sum that was reset since, or is told twice, would let in what is above the limit.
   */
  correct(difference: number, at: number, now: number): void {
    const cell = Math.min(this.#newest, cellOf(at));
    const isKept = cell > this.#newest - CELLS;
    if (isKept) this.add(Math.max(difference, -(this.#cells[cell % CELLS] ?? 0)), at);
    else if (difference > 0) this.add(difference, now);
  }

  /** How long until `amount` fits under the limit; 0 if it does now. */
  waitMs(amount: number, limit: number | null): number {
    if (limit === null || this.total + amount <= limit) return 0;
    let left = this.total;
    for (let number = this.#newest - CELLS + 1; number <= this.#newest; number++) {
      left -= this.#cells[number % CELLS] ?? 0;
      if (left + amount <= limit) return this.#msUntilGone(number);
    }
    return this.#msUntilGone(this.#newest);
  }

  standing(limit: number | null): Standing | null {
    if (limit === null) return null;
    const remaining = Math.max(0, Math.floor(limit - this.total));
    return { limit, remaining, resetMs: this.total > 0 ? this.#msUntilGone(this.#newestUsed()) : 0 };
  }

  emptyAt(): number {
    return this.total > 0 ? goneAt(this.#newestUsed()) : 0;
  }

  /** As seen from the newest cell, so that the answer errs on the long side. */
  #msUntilGone(number: number): number {
    return goneAt(number) - this.#newest * CELL_MS;
  }

  #newestUsed(): number {
    for (let number = this.#newest; number > this.#newest - CELLS; number--) {
      if ((this.#cells[number % CELLS] ?? 0) > 0) return number;
    }
    return this.#newest;
  }
}

function cellOf(at: number): number {
  return Math.floor(at / CELL_MS);
}

function goneAt(number: number): number {
  return number * CELL_MS + CELLS * CELL_MS;
}

/** As the official API writes durations: `250ms`, `1s`, `6m0s`. */
export function formatDuration(ms: number): string {
  if (ms > 0 && ms < 1000) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

/** The `x-ratelimit-*` headers of a key's answers. */
export function rateLimitHeaders(standings: Standings): [name: string, value: string][] {
  const headers: [string, string][] = [];
  for (const [name, standing] of [
    ["requests", standings.requests],
    ["tokens", standings.tokens],
  ] as const) {
    if (standing === null) continue;
    headers.push(
      [`x-ratelimit-limit-${name}`, String(standing.limit)],
      [`x-ratelimit-remaining-${name}`, String(standing.remaining)],
      [`x-ratelimit-reset-${name}`, formatDuration(standing.resetMs)],
    );
  }
  return headers;
}
