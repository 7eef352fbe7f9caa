import { EARLY_TICK_DELAY_MS, EARLY_TICK_GAP_MS, IDLE_TICK_MS, QUIET_TICKS } from "../limits.ts";

/**
 * When the fleet looks at everything next. A look wakes every pool, and a woken pool costs money for ten seconds: so while nothing
 * happens the looks become rare, and whoever brings news asks for one soon. Several such wishes make one early look.
 */
export interface ScheduleMemory {
  /** When everything was last looked at, ms since the epoch. */
  readonly lastAt: number;
  /** Looks since then that found nothing going on. */
  readonly quietTicks: number;
}

export class TickSchedule {
  #lastAt: number | null;
  /** Regular looks are counted from here: the last look, or the end of a quiet time. */
  #countedFrom: number | null;
  #earlyAt: number | null = null;
  #quietTicks: number;

  /** @param memory of an earlier life; null for the first: the fleet sleeps between two looks. */
  constructor(memory: ScheduleMemory | null) {
    this.#lastAt = memory?.lastAt ?? null;
    this.#countedFrom = memory?.lastAt ?? null;
    this.#quietTicks = memory?.quietTicks ?? 0;
  }

  /** What the next life must know; null before the first look. */
  get memory(): ScheduleMemory | null {
    return this.#lastAt === null ? null : { lastAt: this.#lastAt, quietTicks: this.#quietTicks };
  }

  /** @param tickMs between two regular looks. */
  dueAt(now: number, tickMs: number): number {
    // The clock may have been set back since, or this life may have another.
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

  /** What the last look has found. */
  found(isBusy: boolean): void {
    this.#quietTicks = isBusy ? 0 : this.#quietTicks + 1;
  }

  /** Something goes on: regular looks from now on. */
  stir(now: number): void {
    if (!this.isLooking) this.#countedFrom = now;
    this.#quietTicks = 0;
  }

  /** Something cannot wait for the next regular look. */
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
