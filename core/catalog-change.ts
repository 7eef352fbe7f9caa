import type { MachineId, ModelId } from "../protocol/ids.ts";
import type { ApiError } from "./api-error.ts";
import { parseKeptCatalog, type Catalog, type CatalogEntry } from "./catalog.ts";

/**
 * What operators do to the catalog: put a whole one in force, put one model in, take one out. Decided where the catalog
 * is kept, so that of two who change different models at once neither undoes the other.
 *
 * What would leave machines with a model that nobody can ask for, or nothing at all, wants to be said twice.
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
      /** Models that are in it no more. */
      readonly gone: readonly ModelId[];
    }
  | { readonly ok: false; readonly error: ApiError };

/**
 * The catalog after a change. What the change brings has been checked; what is there stays as it is, so that an old
 * mistake in one model does not keep others from being changed.
 * @param isForced whether it has been said twice.
 * @param assignedTo the machines that hold a model by order, or are on their way to it.
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
    // Of one entry that was good by itself, all that can be wrong beside others is a name.
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

/** Models of the one catalog that are not in the other. */
export function modelsGone(before: Catalog, after: Catalog): ModelId[] {
  return before.entries.map(({ id }) => id).filter((id) => after.find(id)?.id !== id);
}

/** An alias is no name to change a model by. */
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

/** What to say of an id that is none. */
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

/** Machines named in a message; the rest are counted. */
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
