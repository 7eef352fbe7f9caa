import type { PlacementConfig, PlacementMachine, PlacementState } from "./types.ts";

/**
 * Freezes moves after a mass disconnect. If many machines vanish at once, something between them and the coordinator is broken:
 * they are given time to come back, because what would be planned without them would be undone a minute later. A machine that
 * has announced its stop has not vanished, however many stop at once: owners stop their machines at the end of a day.
 */

/** Fewer machines than this are never a mass disconnect. */
const LEAST_VANISHED = 3;

export function frozenBy(
  { online, frozenUntil }: PlacementState,
  now: number,
  machines: readonly PlacementMachine[],
  config: PlacementConfig,
): Pick<PlacementState, "online" | "frozenUntil"> {
  const count = machines.filter(({ state }) => state !== "offline").length;
  const wentAt = machines.flatMap((machine) => (machine.state === "offline" ? (machine.wentAt ?? []) : []));
  const recent = online.filter(({ at }) => now - at <= config.vanishWindowSeconds * 1000);
  // Machines that were online then and have announced their stop since are not missing.
  const most = recent.reduce(
    (highest, seen) => Math.max(highest, seen.count - wentAt.filter((at) => at > seen.at).length),
    count,
  );
  const vanished = most - count;
  const isMass = vanished >= LEAST_VANISHED && vanished > config.vanishShare * most;
  return {
    online: [...recent, { at: now, count }],
    frozenUntil: isMass ? now + config.freezeSeconds * 1000 : frozenUntil,
  };
}
