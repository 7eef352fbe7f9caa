import type { ControlPlane } from "../core/fleet/control-plane.ts";

/**
 * Fleet's one alarm. It serves two purposes: every `tick_seconds` a look at everything, and in between the repetition of calls that
 * pools have not answered.
 */
export class FleetAlarm {
  readonly #storage: DurableObjectStorage;
  readonly #core: ControlPlane;
  /** When it rings; null if it is not set. */
  #at: number | null = null;
  /** Whether this life has set it for calls to be repeated, which may have been answered by the time it rings. */
  #isForRetry = false;

  constructor(storage: DurableObjectStorage, core: ControlPlane) {
    this.#storage = storage;
    this.#core = core;
  }

  /** An earlier life may have set it for what this one does not know: a look that comes sooner than its own would. */
  async read(): Promise<void> {
    this.#at = await this.#storage.getAlarm();
  }

  /** It rings. @returns whether that is for calls to be repeated only, and no look at everything is due. */
  rings(now: number): boolean {
    // Set by an earlier life it may be for what this one does not know: then everything is looked at.
    const isForRetry = this.#isForRetry || (this.#core.nextWakeAt() ?? Infinity) <= now;
    this.#at = null;
    this.#isForRetry = false;
    return isForRetry && now < (this.#core.tickDueAt(now) ?? now);
  }

  /** Sets it for what the core wants next. */
  arm(now: number): void {
    const tickAt = this.#core.tickDueAt(now) ?? Infinity;
    const retryAt = this.#core.nextWakeAt() ?? Infinity;
    this.#armAt(Math.max(Math.min(tickAt, retryAt), now + 1), retryAt < tickAt);
  }

  /** Sets it for the tick after this one before anything can fail, so that one bad tick is not the last. */
  armInCaseOfFailure(now: number): void {
    if (this.#core.tickDueAt(now) !== null) this.#armAt(now + this.#core.flagBook.flags.tick_seconds * 1000);
  }

  /** Nothing has failed, so the next look need not come before it is due. */
  allWentWell(): void {
    this.#at = null;
  }

  #armAt(at: number, isForRetry = false): void {
    if (at === Infinity || (this.#at !== null && this.#at <= at)) return;
    this.#at = at;
    this.#isForRetry = isForRetry;
    // A write like those of the core before it, and in one transaction with them.
    void this.#storage.setAlarm(at);
  }
}
