import { z } from "zod";

/**
 * The rate limits of one API key: requests and tokens per minute. A sliding window over the last 60 s, in small steps, keeps
 * every minute within the limit, wherever it begins; a fixed window would let twice as much through around its boundary.
 *
 * Tokens are known only when a request has ended. So a request reserves its maximum when it is admitted and settles with its
 * actual use: the difference is returned to the moment of the reservation. Only reservations that this window knows are
 * returned, and only once: after a reset they are forgotten, and returning them would create capacity.
 *
 * The object saves its window before it hibernates, and the next instance continues from there. After a reset, what was not
 * saved is lost.
 */

/** Null is no limit. */
export interface RateLimits {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
}

/** What a request would use. */
export interface RateQuestion {
  readonly promptTokens: number;
  /** The request's limit of the answer; null if it sets none. */
  readonly answerTokens: number | null;
}

/** Tokens reserved for a request until it has ended. */
export interface Reservation {
  /** Name of the window that holds them. */
  readonly window: string;
  /** Its number there. */
  readonly number: number;
  readonly at: number;
  readonly tokens: number;
}

export interface Standing {
  readonly limit: number;
  readonly remaining: number;
  /** Until all of the limit is there again. */
  readonly resetMs: number;
}

/** The state of a key's limits; null where it has none. */
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

/** Reserved for the answer of a request that sets no limit. */
export const DEFAULT_ANSWER_TOKENS = 1024;

/** Number of a cell of time, counted from the epoch, and what it holds. */
const cellsSchema = z.array(z.tuple([z.int(), z.number()]));

export const savedWindowSchema = z.object({
  requests: cellsSchema,
  tokens: cellsSchema,
  /** Reservations that are not settled yet. */
  open: z.array(z.object({ window: z.string(), number: z.int(), at: z.number() })),
  /** Names of this life and of those before it within the minute, and the last reservation that each has made. */
  lives: z.array(z.object({ window: z.string(), lastNumber: z.int(), at: z.number() })),
});

/** What is saved of a window. */
export type SavedWindow = z.infer<typeof savedWindowSchema>;

type Life = SavedWindow["lives"][number];
type Held = SavedWindow["open"][number];

/** The newest so many are saved, which keeps the row far below the platform's 2 MB. What older ones hold stays held. */
const OPEN_SAVED_MAX = 5_000;

export class RateWindow {
  readonly #name: string;
  readonly #requests: MinuteSum;
  readonly #tokens: MinuteSum;
  /** Reservations of the last minute that are not settled yet, the oldest first, by life and number. */
  readonly #open = new Map<string, Held>();
  /** Earlier lives that this one goes on from. */
  #earlier: readonly Life[];
  #lastNumber = 0;
  #latest: number;

  /**
   * @param name another for each, free of spaces and commas.
   * @param saved by the life before, if there was one.
   */
  constructor(name: string, saved: SavedWindow = { requests: [], tokens: [], open: [], lives: [] }) {
    this.#name = name;
    this.#requests = new MinuteSum(saved.requests);
    this.#tokens = new MinuteSum(saved.tokens);
    this.#latest = Math.max(this.#requests.startsAt, this.#tokens.startsAt);
    this.#earlier = saved.lives;
    for (const held of saved.open) this.#open.set(keyOf(held), held);
  }

  saved(): SavedWindow {
    const own = { window: this.#name, lastNumber: this.#lastNumber, at: this.#latest };
    return {
      requests: this.#requests.cells(),
      tokens: this.#tokens.cells(),
      open: [...this.#open.values()].slice(-OPEN_SAVED_MAX),
      lives: [...this.#earlier.filter(({ at }) => this.#tokens.reachesBackTo(at)), own],
    };
  }

  /** A refused request uses nothing up. */
  admit(limits: RateLimits, question: RateQuestion, now: number): RateVerdict {
    const at = this.#advance(now);
    const requestWaitMs = this.#requests.waitMs(1, limits.requestsPerMinute);
    if (requestWaitMs > 0) return this.#refusal(limits, "requests", requestWaitMs);
    const { needed, reserved } = this.#tokensFor(limits.tokensPerMinute, question);
    const tokenWaitMs = this.#tokens.waitMs(needed, limits.tokensPerMinute);
    if (tokenWaitMs > 0) return this.#refusal(limits, "tokens", tokenWaitMs);
    this.#requests.add(1, at);
    return { admitted: true, reservation: this.#reserve(reserved, at), standings: this.#standings(limits) };
  }

  /** The request has ended and used this many tokens. */
  settle(reservation: Reservation, used: number, now: number): void {
    const { at, tokens } = reservation;
    const latest = this.#advance(now);
    // Its minute is over: nothing is held any more that could be given back, and what goes beyond it counts now.
    if (!this.#tokens.reachesBackTo(at)) this.#tokens.add(Math.max(0, used - tokens), latest);
    else if (this.#open.delete(keyOf(reservation))) this.#tokens.add(used - tokens, at);
    // Held by a life that was reset before it could save that; here nothing of it has counted so far.
    else if (!this.#knows(reservation)) this.#tokens.add(used, at);
    // Else it was settled before: a call that breaks may leave two who think that they have to.
  }

  /** Whether this life made the reservation, or one that has saved it. */
  #knows({ window, number }: Reservation): boolean {
    if (window === this.#name) return true;
    return this.#earlier.some((life) => life.window === window && number <= life.lastNumber);
  }

  #reserve(tokens: number, at: number): Reservation {
    const number = ++this.#lastNumber;
    // Where nothing is held nobody settles.
    const held = { window: this.#name, number, at };
    if (tokens > 0) this.#open.set(keyOf(held), held);
    this.#tokens.add(tokens, at);
    return { ...held, tokens };
  }

  /** Lets go of what is older than a minute. Time that goes backwards counts as standing still. @returns the time. */
  #advance(now: number): number {
    this.#latest = Math.max(this.#latest, now);
    this.#requests.advance(this.#latest);
    this.#tokens.advance(this.#latest);
    for (const [key, { at }] of this.#open) {
      if (this.#tokens.reachesBackTo(at)) break;
      this.#open.delete(key);
    }
    return this.#latest;
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

function keyOf({ window, number }: Omit<Held, "at">): string {
  return `${window} ${number}`;
}

const WINDOW_MS = 60_000;
const CELL_MS = 250;
/** The cells of the window, and one more for the time that the oldest is still partly inside. */
const CELLS = WINDOW_MS / CELL_MS + 1;

/** A sum over the last minute. Whatever was added counts for 60 s at least, and for one cell more at most. */
class MinuteSum {
  readonly #cells = new Float64Array(CELLS);
  /** Number of the newest cell, counted from the epoch. */
  #newest: number;
  total = 0;

  /** @param saved cells, in the order of time. */
  constructor(saved: SavedWindow["requests"]) {
    this.#newest = saved.at(-1)?.[0] ?? 0;
    for (const [number, amount] of saved) this.add(amount, number * CELL_MS);
  }

  /** When its newest cell begins, in ms since the epoch. */
  get startsAt(): number {
    return this.#newest * CELL_MS;
  }

  /** Those that hold anything, in the order of time. */
  cells(): [number: number, amount: number][] {
    const cells: [number, number][] = [];
    for (let number = this.#newest - CELLS + 1; number <= this.#newest; number++) {
      const amount = this.#cells[number % CELLS] ?? 0;
      if (amount > 0) cells.push([number, amount]);
    }
    return cells;
  }

  /** Lets go of what is older than a minute. Time must not go backwards. */
  advance(now: number): void {
    const cell = cellOf(now);
    const passed = Math.min(CELLS, cell - this.#newest);
    for (let number = cell - passed + 1; number <= cell; number++) {
      const index = number % CELLS;
      this.total -= this.#cells[index] ?? 0;
      this.#cells[index] = 0;
    }
    this.#newest = cell;
  }

  /** @param at within the minute. The clock of an earlier life may have been ahead of this one's. */
  add(amount: number, at: number): void {
    const index = Math.min(this.#newest, cellOf(at)) % CELLS;
    this.#cells[index] = (this.#cells[index] ?? 0) + amount;
    this.total += amount;
  }

  /** Whether what was added at `at` still counts. */
  reachesBackTo(at: number): boolean {
    return cellOf(at) > this.#newest - CELLS;
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
