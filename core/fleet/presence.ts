import type { Directory } from "./directory.ts";
import type { FleetView } from "./fleet-view.ts";
import type { Machine } from "./machine.ts";

/** Fewer than this may be away by chance. */
const LEAST_RETURNING = 3;

/**
 * Notes which machines have gone since the last look, and which are back: pools tell of no disconnect, so a tick notices. A
 * machine writes only when that changes.
 * @param view with the reports of all pools: what one does not say would pass for a machine that has gone.
 */
export function notePresence(directory: Directory, { machines, sightings, now }: FleetView): void {
  for (const machine of machines) {
    const isHere = isConnected(machine, sightings);
    if (isHere === (machine.goneAt === null)) continue;
    directory.save({ ...machine, goneAt: isHere ? null : now });
  }
}

/**
 * Whether machines are on their way back from a disconnect of all: a deploy closes every socket, and providers redial within
 * seconds. Then whoever is here has come since, while a broken network leaves some connections as they were.
 * @param since when all that were here had been here, ms since the epoch.
 */
export function areReturning({ machines, sightings }: FleetView, since: number): boolean {
  const here = machines.filter((machine) => isConnected(machine, sightings));
  const away = machines.filter(({ goneAt }) => goneAt === null).length - here.length;
  return away >= LEAST_RETURNING && here.every(({ registeredAt }) => registeredAt > since);
}

function isConnected({ machineId }: Machine, sightings: FleetView["sightings"]): boolean {
  return (sightings.get(machineId) ?? []).some(({ report }) => report.isConnected);
}
