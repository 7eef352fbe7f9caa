import type { MachineId } from "../../protocol/ids.ts";
import type { PoolRecord } from "./record.ts";

/**
 * Predicts when machines that are loading for this pool will be ready: from the load's own progress once that is meaningful,
 * or else from earlier loads of this model, or else as a share of the time limit.
 */

/** The prediction without any data, as a share of the load's time limit. */
const UNKNOWN_SHARE = 1 / 3;

/** Progress counts once the load has gone on this long: before, it is mostly the time that it took to say so. */
const PROGRESS_SAYS_AFTER_MS = 3_000;

/** How much the newest load counts against those before. */
const NEWEST_WEIGHT = 0.3;

export interface ExpectedLoad {
  readonly readyInMs: number;
  /** It is running, and its end is predicted from measurements. */
  readonly isCertain: boolean;
}

export class Loads {
  readonly #loadingSince = new Map<MachineId, number>();
  #typicalMs: number | null = null;

  /** A record has a new mode. */
  observe({ machineId, mode, since }: PoolRecord): void {
    const startedAt = this.#loadingSince.get(machineId);
    if (mode === "loading") {
      this.#loadingSince.set(machineId, since);
      return;
    }
    this.#loadingSince.delete(machineId);
    if (mode !== "assigned" || startedAt === undefined) return;
    const tookMs = since - startedAt;
    const before = this.#typicalMs ?? tookMs;
    this.#typicalMs = before + (tookMs - before) * NEWEST_WEIGHT;
  }

  /** Of the machines on their way the one that is ready first; null if there is none. */
  next(records: Iterable<PoolRecord>, now: number): ExpectedLoad | null {
    let next: ExpectedLoad | null = null;
    for (const record of records) {
      const expected = this.#expected(record, now);
      if (expected !== null && (next === null || expected.readyInMs < next.readyInMs)) next = expected;
    }
    return next;
  }

  #expected(record: PoolRecord, now: number): ExpectedLoad | null {
    const { mode, since, terms } = record;
    const loadMs = this.#typicalMs ?? terms.loadMs * UNKNOWN_SHARE;
    switch (mode) {
      case "expected":
        return { readyInMs: terms.drainMs + loadMs, isCertain: false };
      case "draining":
        return { readyInMs: Math.max(0, since + terms.drainMs - now) + loadMs, isCertain: false };
      case "loading":
        return this.#underWay(record, now);
      case "assigned":
      case "failed":
      case "released":
      case "unmanaged":
        return null;
    }
  }

  #underWay({ since, progress, terms }: PoolRecord, now: number): ExpectedLoad {
    const elapsedMs = now - since;
    const leftMs = since + terms.loadMs - now;
    const hasProgress = progress > 0 && elapsedMs >= PROGRESS_SAYS_AFTER_MS;
    if (hasProgress) {
      return { readyInMs: Math.max(0, Math.min(restMs(elapsedMs, progress), leftMs)), isCertain: true };
    }
    const totalMs = this.#typicalMs ?? terms.loadMs * UNKNOWN_SHARE;
    // Overdue: it is assumed to take as long again as it is late.
    const readyInMs = Math.min(elapsedMs < totalMs ? totalMs - elapsedMs : elapsedMs - totalMs, leftMs);
    const isCertain = this.#typicalMs !== null && elapsedMs < 2 * totalMs;
    return { readyInMs: Math.max(0, readyInMs), isCertain };
  }
}

/** The rest of a load takes as long as the part that is done did, in proportion. @param progress more than 0. */
export function restMs(elapsedMs: number, progress: number): number {
  return (elapsedMs * (1 - Math.min(1, progress))) / progress;
}
