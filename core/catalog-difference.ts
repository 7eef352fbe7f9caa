import { difference, type Difference } from "./audit.ts";
import type { CatalogChange } from "./catalog-change.ts";
import type { Catalog, CatalogEntry } from "./catalog.ts";

/** What a change of the catalog has changed, for the log of changes: an entry's fields, or which models are other than before. */
export function catalogDifference(before: Catalog, after: Catalog, change: CatalogChange): Difference {
  if (change.kind === "replace") return wholeDifference(before, after);
  const id = change.kind === "put" ? change.entry.id : change.id;
  return difference(entryOf(before, id), entryOf(after, id));
}

/** The same of two whole catalogs. */
export function wholeDifference(before: Catalog, after: Catalog): Difference {
  const added = after.entries.filter(({ id }) => entryOf(before, id) === null);
  const removed = before.entries.filter(({ id }) => entryOf(after, id) === null);
  const changed = after.entries.filter((entry) => isChanged(entryOf(before, entry.id), entry));
  const lists = Object.entries({ added, removed, changed }).filter(([, entries]) => entries.length > 0);
  return difference(
    {},
    Object.fromEntries(lists.map(([name, entries]) => [name, entries.map(({ id }) => id)])),
  );
}

function isChanged(before: CatalogEntry | null, after: CatalogEntry): boolean {
  if (before === null) return false;
  const { before: was, after: is } = difference(before, after);
  return was !== null || is !== null;
}

/** An alias is no name here. */
function entryOf(catalog: Catalog, id: string): CatalogEntry | null {
  const entry = catalog.find(id);
  return entry?.id === id ? entry : null;
}
