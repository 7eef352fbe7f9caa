import { isServerFault } from "../core/api-error.ts";
import { POINTS_PER_EVENT, POINTS_WAITING_MAX } from "../core/limits.ts";
import { dataPointOf, type DataPoint } from "../core/pool/data-point.ts";
import type { RequestOutcome } from "../core/pool/outcome.ts";
import { logWarning } from "./log.ts";

/**
 * What is left of requests outside the pool: a point each in Workers Analytics Engine, and a line in the log for each
 * that went to a machine and failed by our fault. The platform takes only so many points per event, and many requests
 * may end in one, so they wait in memory for the next.
 */
export class RequestLog {
  readonly #dataset: AnalyticsEngineDataset | undefined;
  readonly #waiting: DataPoint[] = [];
  #dropped = 0;

  /** @param dataset undefined where there is none: then no points are kept. */
  constructor(dataset: AnalyticsEngineDataset | undefined) {
    this.#dataset = dataset;
  }

  add(ended: RequestOutcome): void {
    if (isServerFault(ended.outcome) && ended.machine !== null) {
      const { requestId, keyId, model, outcome, machine, attempts, tookMs } = ended;
      const { machineId } = machine;
      logWarning("request_failed", { requestId, keyId, model, outcome, machineId, attempts, tookMs });
    }
    if (this.#dataset === undefined) return;
    if (this.#waiting.length < POINTS_WAITING_MAX) this.#waiting.push(dataPointOf(ended));
    else this.#dropped += 1;
  }

  get isWritten(): boolean {
    return this.#waiting.length === 0;
  }

  /** Writes as many points as one event may. */
  write(): void {
    if (this.#dataset === undefined || this.isWritten) return;
    for (const point of this.#waiting.splice(0, POINTS_PER_EVENT)) this.#dataset.writeDataPoint(point);
    if (this.#dropped === 0) return;
    logWarning("points_dropped", { points: this.#dropped });
    this.#dropped = 0;
  }
}
