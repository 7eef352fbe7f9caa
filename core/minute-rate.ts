/** A simple rate limiter: counts events by name in fixed windows of a minute. */

const WINDOW_MS = 60_000;

export class MinuteRate {
  readonly #most: number;
  #windowStartAt = 0;
  readonly #counts = new Map<string, number>();

  /** @param most events of one name per minute. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Counts an event. Returns null if it is allowed, else the seconds until the window ends. */
  admit(name: string, now: number): number | null {
    // A clock that was set back must not make the minute an hour.
    if (now - this.#windowStartAt >= WINDOW_MS || now < this.#windowStartAt) {
      this.#windowStartAt = now;
      this.#counts.clear();
    }
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    return count <= this.#most ? null : (this.#windowStartAt + WINDOW_MS - now) / 1000;
  }
}
