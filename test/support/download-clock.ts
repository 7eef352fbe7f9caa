import type { Clock } from "../../provider/src/agent/ports.ts";
import { STALL_MS } from "../../provider/src/downloads/request.ts";

/** Pauses are over at once, and are written down. A source is too slow only when the test says so. */
export class DownloadClock implements Clock {
  readonly pauses: number[] = [];
  readonly #stalls = new Set<() => void>();
  #now = 0;

  now(): number {
    return this.#now;
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  after(delayMs: number, run: () => void): () => void {
    if (delayMs === STALL_MS) {
      this.#stalls.add(run);
      return () => this.#stalls.delete(run);
    }
    this.pauses.push(delayMs);
    this.#now += delayMs;
    const timer = setImmediate(run);
    return () => clearImmediate(timer);
  }

  /** Whatever is waited for takes too long; false if nothing is. */
  stall(): boolean {
    const isWaiting = this.#stalls.size > 0;
    for (const run of this.#stalls) run();
    return isWaiting;
  }
}
