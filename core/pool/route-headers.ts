import { HASH_START, hashOn } from "../text-hash.ts";
import type { Identity } from "./connection.ts";
import type { PoolRequest } from "./request.ts";

/**
 * What an answer tells of its way: how long it waited, how often it was tried and where. Machines belong to people, so
 * a machine goes by a name that stays the same and is not its id.
 */
export function routeHeaders(request: PoolRequest, now: number): Record<string, string> {
  const { attempt, attempts, enteredAt, sentAt } = request;
  const headers: Record<string, string> = {
    "x-pool-queue-ms": String(Math.max(0, Math.round((sentAt ?? now) - enteredAt))),
    "x-pool-attempts": String(attempts),
  };
  if (attempt === null) return headers;
  const { identity, record } = attempt.connection;
  headers["x-pool-machine"] = pseudonymOf(identity);
  if (record?.mode === "assigned") headers["x-assignment-epoch"] = String(record.epoch);
  return headers;
}

/** Eight hex digits. */
export function pseudonymOf({ owner, machineId }: Pick<Identity, "owner" | "machineId">): string {
  return (hashOn(HASH_START, `${owner} ${machineId}`) >>> 0).toString(16).padStart(8, "0");
}
