import type { Directory } from "./directory.ts";
import type { FleetView } from "./fleet-view.ts";

/**
 * Notes which machines have gone since the last look, and which are back: pools tell of no disconnect, so a tick notices. A
 * machine writes only when that changes.
 * @param view with the reports of all pools: what one does not say would pass for a machine that has gone.
 */
export function notePresence(directory: Directory, { machines, sightings, now }: FleetView): void {
  for (const machine of machines) {
    const seen = sightings.get(machine.machineId) ?? [];
    const isHere = seen.some(({ report }) => report.isConnected);
    if (isHere === (machine.goneAt === null)) continue;
    directory.save({ ...machine, goneAt: isHere ? null : now });
  }
}
