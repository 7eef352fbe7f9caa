import type { ModelId } from "../../protocol/ids.ts";
import type { ApiErrorCode } from "../api-error.ts";
import { AUDIT_INTERVAL_MS } from "../limits.ts";
import type { Connection } from "./connection.ts";
import { failsOpen } from "./gate.ts";
import type { PoolRequest } from "./request.ts";
import { pick } from "./schedule.ts";
import type { Totals } from "./totals.ts";

/**
 * Audits refusals for lack of room. Routing uses a ranking, counters and a line, and a bug in any of them could refuse a request
 * that a machine has room for. So a sample of refusals is checked again, machine by machine, by the gate alone. A machine that
 * could have taken the request is a defect, and is counted.
 *
 * Only a sample, because a large pool under a flood would do little else.
 */

/** Refusals looked at. */
export const AUDITED = "audited";
/** Those that were wrong; followed by the code that the client got. */
export const WRONGLY_REFUSED = "wronglyRefused.";

/** Refusals that say that no machine had room. All others depend on the request itself, or on an operator's decision. */
export const FOR_WANT_OF_ROOM: readonly ApiErrorCode[] = [
  "pool_exhausted",
  "model_unavailable",
  "queue_full",
  "queue_timeout",
];

export interface AuditedPool {
  readonly model: ModelId;
  /** To be walked through once. */
  connections(): Iterable<Connection>;
}

export class RefusalAudit {
  readonly #pool: AuditedPool;
  readonly #totals: Totals;
  #nextAt = -Infinity;

  constructor(pool: AuditedPool, totals: Totals) {
    this.#pool = pool;
    this.#totals = totals;
  }

  /** A request is refused. */
  refused(code: ApiErrorCode, request: PoolRequest, now: number): void {
    if (!FOR_WANT_OF_ROOM.includes(code) || !isAboutMachines(request) || now < this.#nextAt) return;
    this.#nextAt = now + AUDIT_INTERVAL_MS;
    this.#totals.add(AUDITED);
    const machines = [...this.#pool.connections()];
    const asker = failsOpen(machines, this.#pool.model, now) ? "last_resort" : "public";
    // A long prompt is rightly kept from machines on which it may not fit.
    const wanted = { ...request, leastContext: request.need?.roomy ?? 0 };
    if (pick(machines, wanted, now, asker) !== null) this.#totals.add(WRONGLY_REFUSED + code);
  }
}

/** One to its owner's machines is about those only, and for a long one it may be the pool itself that had no room. */
function isAboutMachines({ spec, isLong }: PoolRequest): boolean {
  return spec.owner === null && !isLong;
}
