import { failsOpen } from "../../../../core/pool/gate.ts";
import { INITIAL_SETTINGS, type PoolSettings } from "../../../../core/pool/settings.ts";
import { MODEL } from "./pool-scene.ts";
import type { Job, Link } from "./random-link.ts";

/** What a machine may be sent, by what it has said and what became of its requests: a second opinion on the pool's own. */

/** From the catalog. */
export const SLOTS = 3;
export const SETTINGS: PoolSettings = {
  ...INITIAL_SETTINGS,
  flags: { ...INITIAL_SETTINGS.flags, pool_exhausted_429: "on", queue_max: 6 },
};
export const MAX_ATTEMPTS = 3;
/** After so many in a row a heartbeat no longer ends the pause. */
export const REFUSALS_BELIEVED = 8;
const CANCEL_TIMEOUT_MS = 5000;
const REFUSAL_PAUSE_MS = 500;

/** Requests a machine may be sent now. @param onBreaker called if it has failed too often. */
export function roomOf(link: Link, open: readonly Link[], now: number, onBreaker: () => void): number {
  if (!link.isOpen || !link.admitted || !link.accepting || !link.offers || !link.isAlive) return 0;
  if (now - link.refusedAt < REFUSAL_PAUSE_MS) return 0;
  const taken = Math.max(link.running, committedTo(link, now));
  if (!link.loaded && taken > 0) return 0;
  return Math.max(0, slotsOf(link, open, now, onBreaker) - taken);
}

/** A machine that has failed too often gets nothing, then one request at a time, unless all others are as bad. */
function slotsOf(
  { machine, limit }: Link,
  open: readonly Link[],
  now: number,
  onBreaker: () => void,
): number {
  const { breaker } = machine.connection;
  const slots = Math.min(limit, SLOTS);
  if (breaker === null || breaker.openUntil === 0) return slots;
  const connections = open.filter(({ admitted }) => admitted).map((link) => link.machine.connection);
  if (failsOpen(connections, MODEL, now)) return slots;
  onBreaker();
  return now < breaker.openUntil ? 0 : 1;
}

export function committedTo(link: Link, now: number): number {
  return [...link.jobs.values()].filter((job) => isHeld(job, now)).length;
}

/** Whether the pool still waits for the machine's last word on it. */
export function isHeld({ over, cancelledAt }: Job, now: number): boolean {
  return !over && (cancelledAt === null || now - cancelledAt < CANCEL_TIMEOUT_MS);
}
