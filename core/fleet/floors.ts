import type { CatalogEntry } from "../catalog.ts";
import type { Flags } from "../flags.ts";
import { modelIds } from "./directory.ts";
import { unmanageableBecause, type Machine } from "./machine.ts";

/**
 * Warnings about floors. Floors are filled before all demand (C9), so floors that are too high take every machine and leave
 * none for models in demand.
 *
 * @returns sentences; none while placement is off, because floors have no effect then.
 */
export function floorWarnings(
  catalog: readonly CatalogEntry[],
  machines: Iterable<Machine>,
  flags: Flags,
): string[] {
  if (flags.placement === "off") return [];
  const usable = [...machines].filter((machine) => isUsable(machine, flags));
  const able = new Map(catalog.map((entry) => [entry, usable.filter((one) => canHold(one, entry))]));
  const kept = catalog.filter(({ floor }) => floor > 0);
  const tooHigh = kept
    .filter((entry) => entry.floor > countOf(able, entry))
    .map(
      (entry) =>
        `the floor of "${entry.id}" is ${entry.floor}, and ${nameOf(countOf(able, entry))} can hold it`,
    );
  return [...tooHigh, ...starved(kept, able)];
}

type Able = ReadonlyMap<CatalogEntry, readonly Machine[]>;

/** Models without a floor for which the floors of others leave no machine. */
function starved(kept: readonly CatalogEntry[], able: Able): string[] {
  const wanted = kept.reduce((sum, entry) => sum + Math.min(entry.floor, countOf(able, entry)), 0);
  const takers = new Set(kept.flatMap((entry) => able.get(entry) ?? []));
  if (wanted < takers.size) return [];
  const names = kept.map(({ id }) => `"${id}"`).join(", ");
  return [...able]
    .filter(
      ([{ floor }, holders]) => floor === 0 && holders.length > 0 && holders.every((one) => takers.has(one)),
    )
    .map(
      ([{ id }, holders]) =>
        `the floors of ${names} take ${nameOf(holders.length)}, all that can hold "${id}": it gets no further one, ` +
        "whatever is asked of it; lower a floor or connect more machines",
    );
}

/** Connected as of the last tick, and placement may give it orders. */
function isUsable(machine: Machine, flags: Flags): boolean {
  const isHere = machine.goneAt === null && machine.cordonedAt === null;
  return isHere && unmanageableBecause(machine, flags) === null;
}

function canHold(machine: Machine, { id, min_ram_gb }: CatalogEntry): boolean {
  return modelIds(machine).includes(id) && machine.hardware.memory_gb >= min_ram_gb;
}

function countOf(able: Able, entry: CatalogEntry): number {
  return able.get(entry)?.length ?? 0;
}

function nameOf(count: number): string {
  return count === 1 ? "1 machine" : `${count} machines`;
}
