/**
 * The recent times to the first token of a chat, for clients that choose a model. Kept in memory: a pool that has hibernated
 * knows none.
 */

const KEPT = 64;
const FRESH_MS = 600_000;

export class RecentFirstTokens {
  readonly #seen: { readonly at: number; readonly ms: number }[] = [];

  observe(ms: number, now: number): void {
    this.#seen.push({ at: now, ms });
    if (this.#seen.length > KEPT) this.#seen.shift();
  }

  /** Over the newest of the last ten minutes, in ms; null if there was none. */
  median(now: number): number | null {
    const fresh = this.#seen.filter(({ at }) => now - at < FRESH_MS).map(({ ms }) => ms);
    return fresh.toSorted((a, b) => a - b)[Math.floor(fresh.length / 2)] ?? null;
  }
}
