import type { PlacementConfig, PlacementState } from "./types.ts";

/**
 * Many machines that vanish at once have not been switched off: something between them and the coordinator is broken. They are
 * given time to come back, since what would be planned without them would be undone a minute later.
 */

/** Fewer than this many are never taken for it. */
const LEAST_VANISHED = 3;

/** @param count machines that are online now. */
export function frozenBy(
  { online, frozenUntil }: PlacementState,
  now: number,
  count: number,
  config: PlacementConfig,
): Pick<PlacementState, "online" | "frozenUntil"> {
  const recent = online.filter(({ at }) => now - at <= config.vanishWindowSeconds * 1000);
  const most = recent.reduce((highest, seen) => Math.max(highest, seen.count), count);
  const vanished = most - count;
  const isMass = vanished >= LEAST_VANISHED && vanished > config.vanishShare * most;
  return {
    online: [...recent, { at: now, count }],
    frozenUntil: isMass ? now + config.freezeSeconds * 1000 : frozenUntil,
  };
}
