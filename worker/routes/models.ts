import { Hono } from "hono";

import type { CatalogEntry } from "../../core/catalog.ts";
import type { ModelCapacity } from "../../core/fleet/capacity.ts";
import { modelFeed } from "../../core/model-feed.ts";
import { speaksAnthropic } from "../anthropic/clients.ts";
import { modelInfo, modelPage } from "../anthropic/model-info.ts";
import { requireKeyOfEitherHeader } from "../auth.ts";
import { allowCaching, readCapacity } from "../capacity.ts";
import { readCatalog, requireModel } from "../catalog.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";

/**
 * `GET /v1/models` and `/v1/models/{id}`: the catalog, aliases included, in the words of whichever API asks. Ids may contain
 * slashes. With a `format` it is what operators sell, for everybody: prices are no secret, nor is what the pools can take.
 */
export const models = new Hono<AppEnv>()
  .get("/", async function feeds(context, next) {
    const format = context.req.query("format");
    if (format === undefined) return next();
    if (format !== "openrouter") {
      const message = 'format: must be "openrouter", or left out for the list that API keys can read';
      throw new HttpError({ code: "invalid_request", param: "format", message });
    }
    const [catalog, capacity] = await Promise.all([readCatalog(context.env), readCapacity(context.env)]);
    allowCaching(context);
    return context.json(modelFeed(catalog, capacity.models));
  })
  .get("/", requireKeyOfEitherHeader, async (context) => {
    const [{ entries }, status] = await Promise.all([readCatalog(context.env), readStatus(context)]);
    const named = entries.flatMap((entry) => [entry.id, ...entry.aliases].map((name) => ({ name, entry })));
    if (speaksAnthropic(context)) return context.json(modelPage(named));
    const data = named.map(({ name, entry }) => modelObject(name, entry, status(entry.id)));
    return context.json({ object: "list", data });
  })
  .get("/:id{.*[^/]}", requireKeyOfEitherHeader, async (context) => {
    const name = context.req.param("id");
    const entry = await requireModel(context.env, name);
    if (speaksAnthropic(context)) return context.json(modelInfo({ name, entry }));
    const status = await readStatus(context);
    return context.json(modelObject(name, entry, status(entry.id)));
  });

/** What the pools say of each model now, null for one of which nothing is known. A list without it is better than none. */
async function readStatus(context: AppContext): Promise<(id: string) => object | null> {
  if (speaksAnthropic(context)) return () => null;
  let known: readonly ModelCapacity[];
  try {
    known = (await readCapacity(context.env)).models;
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    return () => null;
  }
  const byId = new Map(known.map(({ id, ...rest }) => [id, statusOf(rest)]));
  return (id) => byId.get(id) ?? null;
}

/** @returns null for a pool that does not answer. */
function statusOf({ exhausted, ...rest }: Omit<ModelCapacity, "id">): object | null {
  return exhausted === null ? null : { ready: !exhausted, ...rest };
}

function modelObject(name: string, entry: CatalogEntry, status: object | null): Record<string, unknown> {
  return {
    id: name,
    object: "model",
    // The catalog keeps no dates; clients only need the field to be there.
    created: 0,
    owned_by: "poolkeeper",
    context_length: entry.context_length,
    status,
    ...(name === entry.id ? { aliases: entry.aliases } : { alias_of: entry.id }),
  };
}
