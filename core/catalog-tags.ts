import type { ApiError } from "./api-error.ts";
import type { CatalogChange } from "./catalog-change.ts";
import type { Catalog, CatalogEntry } from "./catalog.ts";
import { HASH_START, hashOn } from "./text-hash.ts";

/**
 * ETags for `If-Match`, so that an operator does not overwrite a change that was made since the catalog was read. The tag of
 * the whole catalog is its version. Each model has a tag made from its entry, so that changes of other models do not conflict.
 */

/** The precondition of a change: any state, or one with one of these tags. */
export type Precondition = "anything" | "exists" | readonly string[];

export function tagOfCatalog(version: number): string {
  return String(version);
}

export function tagOfEntry(entry: CatalogEntry): string {
  const json = JSON.stringify(entry);
  return `${hashOn(HASH_START, json, 0, json.length).toString(36)}-${json.length}`;
}

/** Why the precondition fails for this catalog; null if it holds. */
export function whyOutdated(
  change: CatalogChange,
  condition: Precondition,
  catalog: Catalog,
  version: number,
): ApiError | null {
  if (condition === "anything") return null;
  if (change.kind === "replace") {
    if (condition === "exists" || condition.includes(tagOfCatalog(version))) return null;
    return outdated(`the catalog has changed since you read it (it is "${version}" now); read it again`);
  }
  const id = change.kind === "put" ? change.entry.id : change.id;
  const entry = catalog.find(id);
  if (entry?.id !== id) {
    // Deleting a missing model fails anyway, with a better message.
    if (change.kind === "remove") return null;
    return outdated(`the model "${id}" is not in the catalog; leave out If-Match to add it`);
  }
  if (condition === "exists" || condition.includes(tagOfEntry(entry))) return null;
  return outdated(`the model "${id}" has changed since you read it; read it again`);
}

function outdated(message: string): ApiError {
  return { code: "precondition_failed", message };
}
