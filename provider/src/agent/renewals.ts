import type { Clock } from "./ports.ts";
import type { Session } from "./session.ts";

/**
 * Sockets whose `register` does not say any more what this machine offers. Each makes way for a new one in a moment when
 * nothing runs on it. One that is never at rest is given a rest after a while: the machine takes nothing new until what runs
 * on it has ended.
 */

const REST_DUE_MS = 10 * 60_000;

/**
 * `grown`: it offers more, which the coordinator may as well learn over another socket. `changed`: something that only this
 * socket's pool is to know.
 */
export type OfferChange = "grown" | "changed";

export class Renewals {
  readonly #clock: Clock;
  readonly #onRestChanged: () => void;
  readonly #sessions = new Map<Session, OfferChange>();
  #cancelRest: (() => void) | null = null;
  #isRestDue = false;

  /** @param onRestChanged `isRestDue` answers otherwise from now on. */
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

  /** The coordinator has taken in all that this machine offers now. A `register` still under way may yet undo that. */
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
