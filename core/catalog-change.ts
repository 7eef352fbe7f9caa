import type { MachineId, ModelId } from "../protocol/ids.ts";
import type { ApiError } from "./api-error.ts";
import { parseKeptCatalog, type Catalog, type CatalogEntry } from "./catalog.ts";

/**
 * The operators' changes of the catalog: replace it, put one model, delete one. They are applied where the catalog is
 * stored, so that concurrent changes of different models do not undo each other.
 *
 * A change that removes a model that machines hold, or all models, has to be forced.
 */

export type CatalogChange =
  | { readonly kind: "replace"; readonly entries: readonly CatalogEntry[] }
  | { readonly kind: "put"; readonly entry: CatalogEntry }
  | { readonly kind: "remove"; readonly id: string };

export type ChangedCatalog =
  | {
      readonly ok: true;
      readonly catalog: Catalog;
      readonly isAddition: boolean;
      /** Models that were removed. */
      readonly gone: readonly ModelId[];
    }
  | { readonly ok: false; readonly error: ApiError };

/**
 * The catalog after a change. The new entries were validated before; the other entries are kept without validation, so that
 * an old mistake in one model does not block changes of others.
 * @param isForced whether the operator insists.
 * @param assignedTo the machines that are assigned to a model, or are switching to it.
 */
export function changeCatalog(
  catalog: Catalog,
  change: CatalogChange,
  isForced: boolean,
  assignedTo: (model: ModelId) => readonly MachineId[],
): ChangedCatalog {
  const misnamed = whyMisnamed(catalog, change);
  if (misnamed !== null) return { ok: false, error: misnamed };
  const parsed = parseKeptCatalog(entriesAfter(catalog, change));
  if (!parsed.ok) {
    // A valid entry can only conflict with others by its id or aliases.
    const param = change.kind === "put" && parsed.param !== "catalog" ? "aliases" : parsed.param;
    return { ok: false, error: { code: "invalid_request", param, message: parsed.message } };
  }
  const after = parsed.catalog;
  const gone = modelsGone(catalog, after);
  const isEmptied = change.kind === "replace" && after.entries.length === 0 && gone.length > 0;
  const doubt = isForced ? null : whyDoubtful(gone, isEmptied, assignedTo);
  if (doubt !== null) return { ok: false, error: { code: "force_required", message: doubt } };
  const isAddition = change.kind === "put" && catalog.find(change.entry.id) === undefined;
  return { ok: true, catalog: after, isAddition, gone };
}

/** Models of the first catalog that are missing in the second. */
export function modelsGone(before: Catalog, after: Catalog): ModelId[] {
  return before.entries.map(({ id }) => id).filter((id) => after.find(id)?.id !== id);
}

/** Aliases do not identify a model for changes. */
function whyMisnamed(catalog: Catalog, change: CatalogChange): ApiError | null {
  if (change.kind === "replace") return null;
  const id = change.kind === "put" ? change.entry.id : change.id;
  const found = catalog.find(id);
  if (found?.id === id) return null;
  if (change.kind === "remove") return unknownModel(catalog, id);
  if (found === undefined) return null;
  const message = `"${id}" is an alias of "${found.id}"; take it away there first, or choose another id`;
  return { code: "invalid_request", param: "id", message };
}

/** The error for an unknown id. */
export function unknownModel(catalog: Catalog, id: string): ApiError {
  const found = catalog.find(id);
  const message =
    found === undefined
      ? `the model "${id}" is not in the catalog`
      : `"${id}" is an alias of "${found.id}"; use that id`;
  return { code: "model_not_found", message };
}

function entriesAfter({ entries }: Catalog, change: CatalogChange): readonly CatalogEntry[] {
  switch (change.kind) {
    case "replace":
      return change.entries;
    case "put": {
      const { entry } = change;
      const isKnown = entries.some(({ id }) => id === entry.id);
      return isKnown ? entries.map((old) => (old.id === entry.id ? entry : old)) : [...entries, entry];
    }
    case "remove":
      return entries.filter(({ id }) => id !== change.id);
  }
}

/** Machines that a message names; further ones are only counted. */
const NAMED_MACHINES = 3;

function whyDoubtful(
  gone: readonly ModelId[],
  isEmptied: boolean,
  assignedTo: (model: ModelId) => readonly MachineId[],
): string | null {
  if (isEmptied) {
    return `this would take every model (${gone.length}) out of the catalog; if you mean it, add ?force=true`;
  }
  for (const id of gone) {
    const machines = assignedTo(id);
    if (machines.length === 0) continue;
    const named = machines.slice(0, NAMED_MACHINES).join(", ");
    const more = machines.length - NAMED_MACHINES;
    return (
      `machines are assigned to "${id}": ${named}${more > 0 ? ` and ${more} more` : ""}; pin them to another model ` +
      "or release them first, or add ?force=true, which releases them"
    );
  }
  return null;
}
