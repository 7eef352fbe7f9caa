import type { Clock } from "./ports.ts";
import type { Session } from "./session.ts";

/**
 * Sockets whose `register` no longer matches what this machine offers. Each is replaced by a new one when no request runs
 * on it. If one of them is busy for too long, the machine stops taking requests until those that run are done.
 */

const REST_DUE_MS = 10 * 60_000;

/**
 * `grown`: the machine offers more models, which the coordinator can also learn over another socket. `changed`: something
 * that only this socket's pool needs to know.
 */
export type OfferChange = "grown" | "changed";

export class Renewals {
  readonly #clock: Clock;
  readonly #onRestChanged: () => void;
  readonly #sessions = new Map<Session, OfferChange>();
  #cancelRest: (() => void) | null = null;
  #isRestDue = false;

  /** @param onRestChanged called when `isRestDue` changes. */
  constructor(clock: Clock, onRestChanged: () => void) {
    this.#clock = clock;
    this.#onRestChanged = onRestChanged;
  }

  add(session: Session, change: OfferChange): void {
    if (this.#sessions.get(session) !== "changed") this.#sessions.set(session, change);
    this.#cancelRest ??= this.#clock.after(REST_DUE_MS, () => {
      this.#isRestDue = true;
      this.#onRestChanged();
    });
  }

  has(session: Session): boolean {
    return this.#sessions.has(session);
  }

  all(): Session[] {
    return [...this.#sessions.keys()];
  }

  remove(session: Session): void {
    if (this.#sessions.delete(session) && this.#sessions.size === 0) this.clear();
  }

  /** The coordinator knows the current offer. Sockets that are still registering may overwrite that, so they stay. */
  onTold(): void {
    for (const [session, change] of this.#sessions) {
      if (change === "grown" && session.isRegistered()) this.remove(session);
    }
  }

  /** Whether the machine should take nothing new, so that its sockets can be renewed. */
  isRestDue(): boolean {
    return this.#isRestDue;
  }

  clear(): void {
    this.#sessions.clear();
    this.#cancelRest?.();
    this.#cancelRest = null;
    if (!this.#isRestDue) return;
    this.#isRestDue = false;
    this.#onRestChanged();
  }
}
