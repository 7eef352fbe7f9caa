import { z } from "zod";

import { fieldProblems, firstProblem } from "../protocol/field-problems.ts";
import { modelIdSchema, type ModelId } from "../protocol/ids.ts";
import type { ApiError } from "./api-error.ts";
import { listingSchema, whyTooLong } from "./listing.ts";

/** The model catalog: what clients may ask for and what a machine needs to hold it. Kept in KV as one JSON array. */

/** An entry that is in force. */
export const keptEntrySchema = z.strictObject({
  /** The model's id at the edge and on the wire; also the name of its pool. */
  id: modelIdSchema,
  /** Other names clients may use; answers echo the name that was asked for. */
  aliases: z.array(modelIdSchema).max(32).default([]),
  /** Tokens of prompt and answer together. */
  context_length: z.int().min(1).max(100_000_000),
  /** Size of the weights in 10^9 bytes. */
  size_gb: z.number().positive().max(100_000),
  /** Memory a machine must have to hold the model, in 10^9 bytes. */
  min_ram_gb: z.number().min(0).max(100_000),
  /** Machines the model keeps even without demand. */
  floor: z.int().min(0).max(1_000_000).default(0),
  /** Most machines it may have; null for no limit. */
  cap: z.int().min(0).max(1_000_000).nullable().default(null),
  /** Weight when machines are short: higher first. */
  priority: z.number().min(0).max(1000).default(1),
  /** Slowest stream that still counts as served, in tokens per second; null for the fleet's default. */
  decode_floor_tps: z.number().positive().max(1e6).nullable().default(null),
  /** Streams one machine may decode at once; a machine's own lower limit wins. */
  max_concurrency: z.int().min(1).max(1024).default(4),
  /** What an aggregator is told of it. No default: a catalog in which nobody uses it can be read by versions before it. */
  listing: listingSchema.optional(),
});

export type CatalogEntry = z.infer<typeof keptEntrySchema>;

/** An entry as an operator may write it. */
export const catalogEntrySchema = keptEntrySchema.superRefine(
  ({ id, floor, cap, context_length, listing }, context) => {
    const aboveCap = whyAboveCap(floor, cap);
    if (aboveCap !== null) context.addIssue({ code: "custom", path: ["floor"], message: aboveCap });
    const tooLong = listing === undefined ? null : whyTooLong(listing, context_length);
    if (tooLong !== null) {
      context.addIssue({ code: "custom", path: ["listing", "max_output_length"], message: tooLong });
    }
    // Plans and reports are JSON with models for names, and not everybody who reads it asks what is an object's own.
    if (id in Object.prototype) {
      context.addIssue({ code: "custom", path: ["id"], message: `must be another name than "${id}"` });
    }
  },
);

/** Refuses a floor above the cap. */
export function whyAboveCap(floor: number, cap: number | null): string | null {
  return cap === null || floor <= cap ? null : `must be at most the cap, which is ${cap}`;
}

const entriesSchema = z.array(catalogEntrySchema).max(1000).superRefine(checkNames);
const keptEntriesSchema = z.array(keptEntrySchema).max(1000).superRefine(checkNames);

function checkNames(entries: readonly CatalogEntry[], context: z.RefinementCtx): void {
  const seen = new Set<string>();
  entries.forEach((entry, index) => {
    for (const [position, name] of [entry.id, ...entry.aliases].entries()) {
      const field = position === 0 ? "id" : "aliases";
      if (seen.has(name)) {
        context.addIssue({ code: "custom", path: [index, field], message: `"${name}" is named twice` });
      }
      seen.add(name);
    }
  });
}

export interface Catalog {
  readonly entries: readonly CatalogEntry[];
  /** Entry for an id or an alias. */
  find(name: string): CatalogEntry | undefined;
}

export const EMPTY_CATALOG: Catalog = { entries: [], find: () => undefined };

/** The error while no catalog could be read. */
export const CATALOG_UNREADABLE: ApiError = {
  code: "try_again",
  message: "the model catalog cannot be read at the moment; try again",
  retryAfterS: 10,
};

export type ParsedCatalog =
  | { readonly ok: true; readonly catalog: Catalog }
  | {
      readonly ok: false;
      /** Path of the first error, such as `[1].size_gb`. */
      readonly param: string;
      readonly message: string;
    };

/** Validates a whole catalog from an operator, all or nothing. The error names the entry and the field. */
export function parseCatalog(json: unknown): ParsedCatalog {
  return parseWith(entriesSchema, json);
}

/**
 * Reads the catalog that is in force. It may have a floor above a cap, which an earlier version accepted: the planner copes
 * with that, and an update must not remove models. New entries like that are refused.
 */
export function parseKeptCatalog(json: unknown): ParsedCatalog {
  return parseWith(keptEntriesSchema, json);
}

function parseWith(schema: z.ZodType<CatalogEntry[]>, json: unknown): ParsedCatalog {
  const parsed = schema.safeParse(json, { error: fieldProblems });
  if (parsed.success) return { ok: true, catalog: catalogOf(parsed.data) };
  const { param, message } = firstProblem(parsed.error);
  const [, index, field = ""] = /^\[(\d+)\]\.?(.*)$/.exec(param) ?? [];
  const place = index === undefined ? "the catalog" : `entry "${idOf(json, Number(index))}"`;
  return {
    ok: false,
    param: param === "" ? "catalog" : param,
    message: `${place}: ${field === "" ? "" : `${field}: `}${message}`,
  };
}

function catalogOf(entries: readonly CatalogEntry[]): Catalog {
  const byName = new Map<string, CatalogEntry>();
  for (const entry of entries) for (const name of [entry.id, ...entry.aliases]) byName.set(name, entry);
  return { entries, find: (name) => byName.get(name) };
}

function idOf(json: unknown, index: number): string {
  const entry: unknown = Array.isArray(json) ? json[index] : undefined;
  return typeof entry === "object" && entry !== null && "id" in entry && typeof entry.id === "string"
    ? entry.id
    : `#${index}`;
}

/** The catalog models among those a machine advertises, in the machine's order, each once: the pools it should dial. */
export function poolsFor(catalog: Catalog, advertised: readonly ModelId[]): ModelId[] {
  return [...new Set(advertised)].filter((id) => catalog.find(id)?.id === id);
}
