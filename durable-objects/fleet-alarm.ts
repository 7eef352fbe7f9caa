import type { ControlPlane } from "../core/fleet/control-plane.ts";

/**
 * Fleet's only alarm. It runs the tick every `tick_seconds`, and in between the retries of calls that pools have not answered.
 */
export class FleetAlarm {
  readonly #storage: DurableObjectStorage;
  readonly #core: ControlPlane;
  /** When it fires, ms since the epoch; null if it is not set. */
  #at: number | null = null;
  /** Whether this instance has set it for retries; the calls may have been answered by the time it fires. */
  #isForRetry = false;

  constructor(storage: DurableObjectStorage, core: ControlPlane) {
    this.#storage = storage;
    this.#core = core;
  }

  /** Reads the alarm of the previous instance, which may be earlier than any that this one would set. */
  async read(): Promise<void> {
    this.#at = await this.#storage.getAlarm();
  }

  /** The alarm has fired. @returns whether it is for retries only, and no tick is due. */
  rings(now: number): boolean {
    // If the previous instance set it, the reason is not known, so there is a tick.
    const isForRetry = this.#isForRetry || (this.#core.nextWakeAt() ?? Infinity) <= now;
    this.#at = null;
    this.#isForRetry = false;
    return isForRetry && now < (this.#core.tickDueAt(now) ?? now);
  }

  /** Sets it for the next tick or retry of the core, whichever is sooner. */
  arm(now: number): void {
    const tickAt = this.#core.tickDueAt(now) ?? Infinity;
    const retryAt = this.#core.nextWakeAt() ?? Infinity;
    this.#armAt(Math.max(Math.min(tickAt, retryAt), now + 1), retryAt < tickAt);
  }

  /** Sets it for the next tick before anything of this one can fail, so that one failed tick is not the last. */
  armInCaseOfFailure(now: number): void {
    if (this.#core.tickDueAt(now) !== null) this.#armAt(now + this.#core.flagBook.flags.tick_seconds * 1000);
  }

  /** The tick has succeeded: the alarm set in case of failure no longer counts. */
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
