import type { ModelId } from "../../../protocol/ids.ts";

/**
 * Which models are suspended: not offered for a while because they keep crashing the engine or failing to load.
 * Without this, one damaged file would keep a machine loading forever and its good models would never be served.
 */

/** Two failures within this time suspend a model. */
const REPEAT_WINDOW_MS = 60_000;

/** So do this many failures without an answer in between, however long each load takes. */
const MAX_FAILURES_IN_ROW = 3;

const SUSPENSION_MS = 10 * 60_000;

interface Failures {
  inRow: number;
  lastAt: number;
  suspendedUntil: number;
}

export class ModelSuspensions {
  readonly #failures = new Map<ModelId, Failures>();

  /**
   * Notes that an engine failed on this model. Returns whether the model is suspended now.
   * @param isLasting retrying is pointless until something outside has changed.
   */
  noteFailure(model: ModelId, now: number, isLasting = false): boolean {
    const before = this.#failures.get(model);
    const inRow = (before?.inRow ?? 0) + 1;
    const isRepeated = before !== undefined && now - before.lastAt <= REPEAT_WINDOW_MS;
    const isSuspended = isLasting || isRepeated || inRow >= MAX_FAILURES_IN_ROW;
    // After a suspension the count starts at zero: the owner may have replaced the file.
    const entry = isSuspended
      ? { inRow: 0, lastAt: Number.NEGATIVE_INFINITY, suspendedUntil: now + SUSPENSION_MS }
      : { inRow, lastAt: now, suspendedUntil: 0 };
    this.#failures.set(model, entry);
    return isSuspended;
  }

  /**
   * Ends a suspension because its cause is gone. One failure is kept on record: a server that crashes on every request
   * and comes back each time should be suspended again soon.
   */
  lift(model: ModelId, now: number): void {
    this.#failures.set(model, { inRow: 1, lastAt: now, suspendedUntil: 0 });
  }

  /** Notes that the model has answered a request. */
  noteAnswer(model: ModelId): void {
    this.#failures.delete(model);
  }

  failuresInRow(model: ModelId): number {
    return this.#failures.get(model)?.inRow ?? 0;
  }

  isSuspended(model: ModelId, now: number): boolean {
    return (this.#failures.get(model)?.suspendedUntil ?? 0) > now;
  }

  /** When the next suspension ends; null if there is none. */
  nextReturnAt(now: number): number | null {
    let next: number | null = null;
    for (const { suspendedUntil } of this.#failures.values()) {
      if (suspendedUntil > now && (next === null || suspendedUntil < next)) next = suspendedUntil;
    }
    return next;
  }
}
