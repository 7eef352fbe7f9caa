/** Counts by name what may happen only so often, in windows of a minute. */

const WINDOW_MS = 60_000;

export class MinuteRate {
  readonly #most: number;
  #windowStartAt = 0;
  readonly #counts = new Map<string, number>();

  /** @param most of one name in a minute. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Counts one. Returns null if it may go on, else the seconds until the window ends. */
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
