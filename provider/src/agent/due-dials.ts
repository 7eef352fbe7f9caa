import type { ModelId } from "../../../protocol/ids.ts";
import type { Clock } from "./ports.ts";

/** The scheduled dials, at most one per pool. */

interface DueDial {
  readonly cancel: () => void;
  readonly at: number;
  readonly isUnknown: boolean;
}

export class DueDials {
  readonly #clock: Clock;
  readonly #dial: (pool: ModelId) => void;
  readonly #due = new Map<ModelId, DueDial>();

  constructor(clock: Clock, dial: (pool: ModelId) => void) {
    this.#clock = clock;
    this.#dial = dial;
  }

  /** Replaces the pool's earlier dial, if any. @param isUnknown the pool was not in the coordinator's catalog. */
  plan(pool: ModelId, delayMs: number, isUnknown = false): void {
    this.cancel(pool);
    const cancel = this.#clock.after(delayMs, () => {
      this.#due.delete(pool);
      this.#dial(pool);
    });
    this.#due.set(pool, { cancel, at: this.#clock.now() + delayMs, isUnknown });
  }

  has(pool: ModelId): boolean {
    return this.#due.has(pool);
  }

  pools(): ModelId[] {
    return [...this.#due.keys()];
  }

  /** Null if none is due. */
  nextAt(): number | null {
    const due = [...this.#due.values()].map(({ at }) => at);
    return due.length === 0 ? null : Math.min(...due);
  }

  /** Whether a dial is scheduled to a pool that the coordinator may know. Dials to unknown pools wait for minutes. */
  hasKnownPool(): boolean {
    for (const { isUnknown } of this.#due.values()) if (!isUnknown) return true;
    return false;
  }

  cancel(pool: ModelId): void {
    this.#due.get(pool)?.cancel();
    this.#due.delete(pool);
  }

  clear(): void {
    for (const pool of this.pools()) this.cancel(pool);
  }
}
