import type { PoolNews } from "../pool/ports.ts";
import type { Directory } from "./directory.ts";
import type { FleetView } from "./fleet-view.ts";
import type { Machine } from "./machine.ts";

/** Fewer machines than this may be away by chance. */
const LEAST_RETURNING = 3;

/**
 * Notes which machines have gone since the last look, and which are back or have not left after all: pools tell of no
 * disconnect, so a tick notices. A machine writes only when that changes.
 * @param view with the reports of all pools: what one does not say would pass for a machine that has gone.
 * @param askedAt when the pools were asked for them, ms since the epoch.
 */
export function notePresence(
  directory: Directory,
  { machines, sightings, now }: FleetView,
  askedAt: number,
): void {
  for (const machine of machines) {
    const isHere = isConnected(machine, sightings);
    // It rests for its owner, or to replace its sockets, and has closed one that it does not need.
    const hasStayed = isHere && machine.leftAt !== null && machine.leftAt < askedAt;
    if (isHere === (machine.goneAt === null) && !hasStayed) continue;
    const leftAt = hasStayed ? null : machine.leftAt;
    directory.save({ ...machine, goneAt: isHere ? null : now, leftAt });
  }
}

/**
 * A pool tells that a machine has stopped in order. Of a process that another has followed it says nothing, and of one that has
 * dialed anew the next look tells.
 */
export function noteLeft(
  directory: Directory,
  { machineId, sessionId }: Extract<PoolNews, { kind: "left" }>,
  now: number,
): void {
  const machine = directory.get(machineId);
  if (machine?.sessionId === sessionId) directory.save({ ...machine, leftAt: now });
}

/**
 * When a machine that is not here had gone, if that was in order: then it is not missed. One that was here at an earlier look had
 * not gone by then, whatever it had said.
 * @returns null if it has vanished.
 */
export function wentInOrderAt({ leftAt, goneAt }: Machine, now: number): number | null {
  return leftAt === null ? null : (goneAt ?? now);
}

/**
 * Whether machines are reconnecting after all were disconnected: a deploy closes every socket, and providers redial within
 * seconds. Then every machine that is connected has registered since, while a broken network leaves some connections as they
 * were.
 * @param since when all that were here had been here, ms since the epoch.
 */
export function areReturning({ machines, sightings }: FleetView, since: number): boolean {
  const here = machines.filter((machine) => isConnected(machine, sightings));
  const missed = machines.filter(({ goneAt, leftAt }) => goneAt === null && leftAt === null);
  const away = missed.filter((machine) => !isConnected(machine, sightings)).length;
  return away >= LEAST_RETURNING && here.every(({ registeredAt }) => registeredAt > since);
}

function isConnected({ machineId }: Machine, sightings: FleetView["sightings"]): boolean {
  return (sightings.get(machineId) ?? []).some(({ report }) => report.isConnected);
}
