import type { CatalogEntry } from "../catalog.ts";
import type { PoolReport } from "../pool/report.ts";

/** How long a request may be that machines take, prompt and answer together: the catalog's promise and what is kept of it. */

/** What the routable machine takes that takes most, in tokens; null if there is none, or one that has named no limit. */
export function servedContext({ machines }: PoolReport): number | null {
  const contexts = machines
    .filter(({ blockedBy }) => blockedBy === null)
    .map(({ contextLength }) => contextLength ?? Infinity);
  const largest = Math.max(0, ...contexts);
  return largest === 0 || largest === Infinity ? null : largest;
}

/** @returns sentences about models that take less than clients are told. */
export function contextWarnings(
  catalog: readonly CatalogEntry[],
  reports: ReadonlyMap<string, PoolReport>,
): string[] {
  return catalog.flatMap(({ id, context_length: promised }) => {
    const report = reports.get(id);
    const served = report === undefined ? null : servedContext(report);
    if (served === null || served >= promised) return [];
    return [
      `clients are told that "${id}" takes ${promised} tokens, and no machine that serves it takes more than ${served}: ` +
        "lower its context_length, or start a provider with a larger --context",
    ];
  });
}
