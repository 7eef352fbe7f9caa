import { hashOf } from "../text-hash.ts";
import type { Identity } from "./connection.ts";
import type { PoolRequest } from "./request.ts";

/**
 * Response headers about routing: timings, the number of attempts, and the machine. Machines belong to people, so a machine is
 * shown under a stable pseudonym instead of its id.
 *
 * Times are whole milliseconds. `openai-processing-ms` is what OpenAI's own API sends and its SDKs log; browsers and
 * proxies know `server-timing`.
 */
export function routeHeaders(request: PoolRequest, now: number): Record<string, string> {
  const { attempt, attempts, enteredAt, sentAt, spec } = request;
  const queueMs = wholeMs(enteredAt, sentAt ?? now);
  const machineTime = sentAt === null ? "" : `, machine;dur=${wholeMs(sentAt, now)}`;
  const headers: Record<string, string> = {
    "openai-processing-ms": String(wholeMs(spec.arrivedAt, now)),
    "server-timing": `queue;dur=${queueMs}${machineTime}`,
    "x-pool-queue-ms": String(queueMs),
    "x-pool-attempts": String(attempts),
  };
  if (attempt === null) return headers;
  const { identity, record } = attempt.connection;
  headers["x-pool-machine"] = pseudonymOf(identity);
  if (record?.mode === "assigned") headers["x-assignment-epoch"] = String(record.epoch);
  return headers;
}

/** The edge's clock may be ahead of the pool's. */
function wholeMs(from: number, to: number): number {
  return Math.max(0, Math.round(to - from));
}

/** Eight hex digits. */
export function pseudonymOf({ owner, machineId }: Pick<Identity, "owner" | "machineId">): string {
  return hashOf(`${owner} ${machineId}`).toString(16).padStart(8, "0");
}
