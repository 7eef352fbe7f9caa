import type { ApiError } from "../api-error.ts";
import { MEMBERSHIP_GRACE_MS } from "../limits.ts";
import type { PoolReport } from "../pool/report.ts";
import type { Machine } from "./machine.ts";

/**
 * Whether a machine may be deleted: only if it is not connected. A connected one would go on serving, invisible to operators.
 * Only pools know their sockets; one that does not answer may hold one.
 *
 * A register that was just admitted may not have reached its pool, so that the pool's report does not show it yet.
 * @param reports of each pool that may hold a socket of it; null for one that has not answered.
 * @returns why it may not be deleted; null if it may.
 */
export function whyNotRemovable(
  { machineId, registeredAt }: Machine,
  reports: ReadonlyMap<string, PoolReport | null>,
  now: number,
): ApiError | null {
  const connectedTo: string[] = [];
  for (const [pool, report] of reports) {
    if (report === null) {
      const message = `the pool "${pool}" does not answer, and it may hold a connection of "${machineId}"; try again`;
      return { code: "try_again", message, retryAfterS: 10 };
    }
    const isHere = report.machines.some((machine) => machine.machineId === machineId && machine.isConnected);
    if (isHere) connectedTo.push(`"${pool}"`);
  }
  if (connectedTo.length > 0) {
    const where = connectedTo.join(", ");
    return connected(
      `machine "${machineId}" is connected to ${where}; stop its provider, quarantine it or revoke its token first`,
    );
  }
  if (now - registeredAt > MEMBERSHIP_GRACE_MS) return null;
  return connected(`machine "${machineId}" has registered within the last minute; try again when it is over`);
}

function connected(message: string): ApiError {
  return { code: "machine_connected", message };
}
