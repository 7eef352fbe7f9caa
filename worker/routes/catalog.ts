import { Hono } from "hono";

import { unknownModel, type CatalogChange } from "../../core/catalog-change.ts";
import { tagOfCatalog, tagOfEntry, type Precondition } from "../../core/catalog-tags.ts";
import {
  CATALOG_UNREADABLE,
  catalogEntrySchema,
  parseCatalog,
  parseKeptCatalog,
  type Catalog,
  type CatalogEntry,
  type ParsedCatalog,
} from "../../core/catalog.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import type { CatalogVerdict } from "../../durable-objects/operators.ts";
import { readJsonBody } from "../body.ts";
import { catalogStore } from "../catalog.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { validate } from "../validate.ts";

/**
 * `/v1/admin/catalog`: all of it, or a model at a time. Read and changed at the fleet, which has the newest: KV may show an
 * older one, and who changed that would undo what came since. Ids may contain slashes.
 */
export const catalog = new Hono<AppEnv>()
  .get("/", async (context) => {
    const { version, entries } = await readNewest(context);
    context.header("etag", `"${tagOfCatalog(version)}"`);
    return context.json(entries);
  })
  .put("/", async (context) => {
    const { json } = await readJsonBody(context.req.raw);
    const { entries } = checked(parseCatalog(json));
    const verdict = await change(context, { kind: "replace", entries });
    context.header("etag", `"${tagOfCatalog(verdict.version)}"`);
    return context.json(verdict.entries);
  })
  .get("/:id{.+}", async (context) => {
    const id = context.req.param("id");
    const entry = requireEntry(checked(parseKeptCatalog((await readNewest(context)).entries)), id);
    context.header("etag", `"${tagOfEntry(entry)}"`);
    return context.json(entry);
  })
  .put("/:id{.+}", async (context) => {
    const { json } = await readJsonBody(context.req.raw);
    const entry = entryFor(context.req.param("id"), json);
    const { isAddition } = await change(context, { kind: "put", entry });
    context.header("etag", `"${tagOfEntry(entry)}"`);
    return context.json(entry, isAddition ? 201 : 200);
  })
  .delete("/:id{.+}", async (context) => {
    const id = context.req.param("id");
    await change(context, { kind: "remove", id });
    return context.json({ id, deleted: true });
  });

async function readNewest(
  context: AppContext,
): Promise<{ version: number; entries: readonly CatalogEntry[] }> {
  const newest = await fleetStub(context.env).catalog();
  if (newest === null) throw new HttpError(CATALOG_UNREADABLE);
  return newest;
}

/** @throws HttpError what the fleet says against it */
async function change(
  context: AppContext,
  asked: CatalogChange,
): Promise<Extract<CatalogVerdict, { ok: true }>> {
  const isForced = isTrue(context, "force");
  const onlyOver = preconditionOf(context.req.header("if-match"));
  const verdict = await fleetStub(context.env).changeCatalog({ change: asked, isForced, onlyOver });
  if (!verdict.ok) throw new HttpError(verdict.error);
  context.set("difference", verdict.difference);
  catalogStore.adopt(checked(parseKeptCatalog(verdict.entries)), verdict.version, Date.now());
  return verdict;
}

/** @throws HttpError 400 that names the entry and the field */
function checked(parsed: ParsedCatalog): Catalog {
  if (parsed.ok) return parsed.catalog;
  throw new HttpError({ code: "invalid_request", param: parsed.param, message: parsed.message });
}

/** An entry as it came for the model in the address, which need not be named twice. */
function entryFor(id: string, json: unknown): CatalogEntry {
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  if (isObject && "id" in json && json.id !== id) {
    const message = `id: is not the one in the address, "${id}"; leave it out`;
    throw new HttpError({ code: "invalid_request", param: "id", message });
  }
  return validate(catalogEntrySchema, isObject ? { ...json, id } : json);
}

function requireEntry(known: Catalog, id: string): CatalogEntry {
  const entry = known.find(id);
  if (entry?.id === id) return entry;
  throw new HttpError(unknownModel(known, id));
}

function isTrue({ req }: AppContext, name: string): boolean {
  const value = req.query(name) ?? "false";
  if (value === "true" || value === "false") return value === "true";
  throw new HttpError({ code: "invalid_request", param: name, message: `${name}: true or false` });
}

/** A proxy that compresses makes tags weak. */
function preconditionOf(ifMatch: string | undefined): Precondition {
  if (ifMatch === undefined) return "anything";
  if (ifMatch.trim() === "*") return "exists";
  return ifMatch.split(",").flatMap((tag) => /^(?:W\/)?"([^"]*)"$/.exec(tag.trim())?.[1] ?? []);
}
