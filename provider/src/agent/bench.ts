import type { ModelId } from "../../../protocol/ids.ts";

/**
 * Which models are on the bench: not offered for a while, because their file has twice in a row brought the engine
 * down or failed to load. Without it one damaged file keeps a machine loading for ever, deaf to its good models.
 */

/** Two failures within this time are no accident. */
const REPEAT_WINDOW_MS = 60_000;

/** Nor are this many without one answer in between, however long each load takes. */
const MAX_FAILURES_IN_ROW = 3;

const BENCH_MS = 10 * 60_000;

interface Failures {
  inRow: number;
  lastAt: number;
  benchedUntil: number;
}

export class Bench {
  readonly #failures = new Map<ModelId, Failures>();

  /**
   * Notes that an engine failed on this model. Returns whether that has put the model on the bench.
   * @param isLasting another try is of no use until something has changed.
   */
  noteFailure(model: ModelId, now: number, isLasting = false): boolean {
    const before = this.#failures.get(model);
    const inRow = (before?.inRow ?? 0) + 1;
    const isRepeated = before !== undefined && now - before.lastAt <= REPEAT_WINDOW_MS;
    const isBenched = isLasting || isRepeated || inRow >= MAX_FAILURES_IN_ROW;
    // After the bench the count starts anew: the owner may have replaced the file.
    const entry = isBenched
      ? { inRow: 0, lastAt: Number.NEGATIVE_INFINITY, benchedUntil: now + BENCH_MS }
      : { inRow, lastAt: now, benchedUntil: 0 };
    this.#failures.set(model, entry);
    return isBenched;
  }

  /**
   * What kept the model from working is over. It counts as one failure still: a server that ends with each request, and comes
   * back each time, is to be let alone.
   */
  pardon(model: ModelId, now: number): void {
    this.#failures.set(model, { inRow: 1, lastAt: now, benchedUntil: 0 });
  }

  /** Notes that the model has answered a request. */
  noteAnswer(model: ModelId): void {
    this.#failures.delete(model);
  }

  failuresInRow(model: ModelId): number {
    return this.#failures.get(model)?.inRow ?? 0;
  }

  isBenched(model: ModelId, now: number): boolean {
    return (this.#failures.get(model)?.benchedUntil ?? 0) > now;
  }

  /** When the next model comes back; null if none is on the bench. */
  nextReturnAt(now: number): number | null {
    let next: number | null = null;
    for (const { benchedUntil } of this.#failures.values()) {
      if (benchedUntil > now && (next === null || benchedUntil < next)) next = benchedUntil;
    }
    return next;
  }
}
