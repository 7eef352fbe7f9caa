import { EARLY_TICK_DELAY_MS, EARLY_TICK_GAP_MS, IDLE_TICK_MS, QUIET_TICKS } from "../limits.ts";

/**
 * When the next tick is due. A tick wakes every pool, and a woken pool costs money for ten seconds. So ticks become rare while
 * nothing happens, and an event that matters requests an early one; several such requests are combined into one tick.
 */
export interface ScheduleMemory {
  /** When the last tick ran, ms since the epoch. */
  readonly lastAt: number;
  /** Consecutive ticks without activity. */
  readonly quietTicks: number;
}

export class TickSchedule {
  #lastAt: number | null;
  /** Regular ticks are counted from here: the last tick, or the end of a quiet period. */
  #countedFrom: number | null;
  #earlyAt: number | null = null;
  #quietTicks: number;

  /** @param memory of the previous instance, because the fleet hibernates between two ticks; null for the first one. */
  constructor(memory: ScheduleMemory | null) {
    this.#lastAt = memory?.lastAt ?? null;
    this.#countedFrom = memory?.lastAt ?? null;
    this.#quietTicks = memory?.quietTicks ?? 0;
  }

  /** What the next instance must know; null before the first tick. */
  get memory(): ScheduleMemory | null {
    return this.#lastAt === null ? null : { lastAt: this.#lastAt, quietTicks: this.#quietTicks };
  }

  /** @param tickMs between two regular looks. */
  dueAt(now: number, tickMs: number): number {
    // The clock may have been set back, or this instance may have another one.
    this.#countedFrom = Math.min(this.#countedFrom ?? now, now);
    const regular = this.#countedFrom + this.#intervalMs(tickMs);
    return this.#earlyAt === null ? regular : Math.min(regular, this.#earlyAt);
  }

  /** Whether the next look comes within a regular tick. */
  get isLooking(): boolean {
    return this.#quietTicks < QUIET_TICKS;
  }

  /** Whether the one after it does too, whatever is found. */
  get willLook(): boolean {
    return this.#quietTicks + 1 < QUIET_TICKS;
  }

  ticked(now: number): void {
    this.#lastAt = now;
    this.#countedFrom = now;
    this.#earlyAt = null;
  }

  /** Notes what the last tick has found. */
  found(isBusy: boolean): void {
    this.#quietTicks = isBusy ? 0 : this.#quietTicks + 1;
  }

  /** Notes activity: regular ticks from now on. */
  stir(now: number): void {
    if (!this.isLooking) this.#countedFrom = now;
    this.#quietTicks = 0;
  }

  /** Requests an early tick. */
  hurry(now: number): void {
    this.stir(now);
    const earliest = this.#lastAt === null ? now : Math.min(this.#lastAt, now) + EARLY_TICK_GAP_MS;
    const at = Math.max(now + EARLY_TICK_DELAY_MS, earliest);
    this.#earlyAt = this.#earlyAt === null ? at : Math.min(at, this.#earlyAt);
  }

  #intervalMs(tickMs: number): number {
    return this.isLooking ? tickMs : Math.max(tickMs, IDLE_TICK_MS);
  }
}
