import type { Clock } from "../../provider/src/agent/ports.ts";

const MAX_TIMERS_PER_ADVANCE = 100_000;

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** Time that passes only when a test says so. Between two timers everything that promises had to do is done. */
export class VirtualClock implements Clock {
  /** Timers go by this and by nothing else. */
  #now = Date.UTC(2026, 0, 1);
  #offMs = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now + this.#offMs;
  }

  /** Sets the clock forward or back, as a Mac does that has found out what time it is. */
  set(byMs: number): void {
    this.#offMs += byMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** How many timers are armed. */
  pending(): number {
    return this.#timers.size;
  }

  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settle();
    for (let runs = 0; ; runs++) {
      if (runs > MAX_TIMERS_PER_ADVANCE) throw new Error("timers that arm each other without end");
      // A Set keeps the order of insertion, so of two timers due at once the older one runs first.
      let next: Timer | null = null;
      for (const timer of this.#timers)
        if (timer.at <= until && timer.at < (next?.at ?? Infinity)) next = timer;
      if (next === null) break;
      this.#timers.delete(next);
      this.#now = next.at;
      next.run();
      await settle();
    }
    this.#now = until;
  }
}

/** Lets every promise that can go on go on. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
