import type { PlacementConfig, PlacementMachine, PlacementState } from "./types.ts";

/**
 * Many machines that vanish at once have not been switched off: something between them and the coordinator is broken. They are
 * given time to come back, since what would be planned without them would be undone a minute later. Whoever has said goodbye has
 * not vanished, however many go at once: owners stop their machines at the end of a day.
 */

/** Fewer than this many are never taken for it. */
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
  // Of those that were here then: whoever has gone in order since would not be here now.
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
