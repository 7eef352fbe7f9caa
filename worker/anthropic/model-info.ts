import type { CatalogEntry } from "../../core/catalog.ts";

/** The catalog as Anthropic's API lists models. */

/** A model under its id or an alias. */
interface NamedEntry {
  readonly name: string;
  readonly entry: CatalogEntry;
}

export function modelInfo({ name, entry }: NamedEntry): object {
  return {
    type: "model",
    id: name,
    display_name: name,
    // The catalog keeps no dates; clients only need the field to be there.
    created_at: "1970-01-01T00:00:00Z",
    max_input_tokens: entry.context_length,
    max_tokens: entry.context_length,
    lifecycle: "active",
    line: null,
    capabilities: null,
    deprecated_at: null,
    retires_at: null,
  };
}

/** All of them: there is no next page. */
export function modelPage(models: readonly NamedEntry[]): object {
  return {
    data: models.map(modelInfo),
    has_more: false,
    first_id: models[0]?.name ?? null,
    last_id: models.at(-1)?.name ?? null,
  };
}
