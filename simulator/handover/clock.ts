import type { Clock } from "../../provider/src/agent/ports.ts";

/** Virtual time: a priority queue of events. Events that are due at the same moment run in the order they were scheduled. */

interface Due {
  readonly at: number;
  readonly order: number;
  run: (() => void) | null;
}

export class SimClock implements Clock {
  #now = Date.UTC(2026, 0, 1);
  #order = 0;
  readonly #heap: Due[] = [];

  now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const due: Due = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    this.#push(due);
    return () => {
      due.run = null;
    };
  }

  /** Advances to the next event that is due by `until` and runs it. @returns false if there is none. */
  step(until: number): boolean {
    for (;;) {
      const due = this.#heap[0];
      if (due === undefined || due.at > until) {
        this.#now = until;
        return false;
      }
      this.#pop();
      const { run } = due;
      if (run === null) continue;
      due.run = null;
      this.#now = due.at;
      run();
      return true;
    }
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(due);
    while (i > 0) {
      const up = (i - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || isBefore(parent, due)) break;
      heap[i] = parent;
      i = up;
    }
    heap[i] = due;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      let next = left;
      if (right !== undefined && isBefore(right, left)) {
        child += 1;
        next = right;
      }
      if (isBefore(last, next)) break;
      heap[i] = next;
      i = child;
    }
    heap[i] = last;
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** The clock of one process: its timers end with the process. */
export class ProcessClock implements Clock {
  readonly #clock: SimClock;
  isAlive = true;
  #wakesAt = 0;

  constructor(clock: SimClock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  /** How long it still sleeps; 0 while it is awake. */
  get sleepsForMs(): number {
    return Math.max(0, this.#wakesAt - this.#clock.now());
  }

  /** The process stands still: what comes due meanwhile comes when it wakes. */
  sleep(forMs: number): void {
    this.#wakesAt = this.#clock.now() + forMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const ring = (): void => {
      if (!this.isAlive) return;
      if (this.sleepsForMs > 0) cancel = this.#clock.after(this.sleepsForMs, ring);
      else run();
    };
    let cancel = this.#clock.after(delayMs, ring);
    return () => cancel();
  }
}

/** Turns that are queued at once: to go around Node's event loop takes longer than most of them. */
const TURNS_QUEUED = 100;

/** Calls `turn` until it returns false, each time after all pending promise callbacks: Node runs those between immediates. */
export function takeTurns(turn: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    const take = (): void => {
      if (isOver) return;
      try {
        isOver = !turn();
        if (isOver) resolve();
      } catch (error) {
        isOver = true;
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    const queue = (): void => {
      if (isOver) return;
      for (let queued = 0; queued < TURNS_QUEUED; queued++) setImmediate(take);
      setImmediate(queue);
    };
    queue();
  });
}
