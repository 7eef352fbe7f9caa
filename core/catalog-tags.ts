import type { ApiError } from "./api-error.ts";
import type { CatalogChange } from "./catalog-change.ts";
import type { Catalog, CatalogEntry } from "./catalog.ts";
import { HASH_START, hashOn } from "./text-hash.ts";

/**
 * By what an operator says which state he has read, so that he does not undo what another has changed since. The whole
 * catalog has the number of its version. A model has a tag of its own, made from its entry: whoever changes another model
 * must not stand in the way.
 */

/** What a change may be made over: whatever is there, or what has one of these tags. */
export type Precondition = "anything" | "exists" | readonly string[];

export function tagOfCatalog(version: number): string {
  return String(version);
}

export function tagOfEntry(entry: CatalogEntry): string {
  const json = JSON.stringify(entry);
  return `${hashOn(HASH_START, json, 0, json.length).toString(36)}-${json.length}`;
}

/** What is wrong with making the change over this catalog; null if nothing is. */
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
    // What is not there cannot be taken out either, and that says more.
    if (change.kind === "remove") return null;
    return outdated(`the model "${id}" is not in the catalog; leave out If-Match to add it`);
  }
  if (condition === "exists" || condition.includes(tagOfEntry(entry))) return null;
  return outdated(`the model "${id}" has changed since you read it; read it again`);
}

function outdated(message: string): ApiError {
  return { code: "precondition_failed", message };
}
