import type { Reservation } from "../core/rate-limit.ts";
import type { Env } from "./env.ts";
import { logWarning } from "./log.ts";

/**
 * Tells a limited key's window what its request has used. If that does not get through, the reservation stands for
 * the rest of its minute.
 */
export async function settleTokens(
  env: Env,
  keyId: string,
  reservation: Reservation,
  usedTokens: number,
): Promise<void> {
  if (reservation.tokens === 0) return;
  try {
    await env.KEY_LIMITS.getByName(keyId).settle(reservation, usedTokens);
  } catch (error) {
    logWarning("key_limits_unreachable", { keyId, error: String(error) });
  }
}
