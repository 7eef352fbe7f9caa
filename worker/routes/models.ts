import { Hono } from "hono";

import type { CatalogEntry } from "../../core/catalog.ts";
import { requireApiKey } from "../auth.ts";
import { readCatalog, requireModel } from "../catalog.ts";
import type { AppEnv } from "../context.ts";

/** `GET /v1/models` and `/v1/models/{id}`: the catalog, aliases included. Ids may contain slashes. */
export const models = new Hono<AppEnv>()
  .get("/", requireApiKey, async (context) => {
    const { entries } = await readCatalog(context.env);
    const data = entries.flatMap((entry) =>
      [entry.id, ...entry.aliases].map((name) => modelObject(name, entry)),
    );
    return context.json({ object: "list", data });
  })
  .get("/:id{.+}", requireApiKey, async (context) => {
    const name = context.req.param("id");
    return context.json(modelObject(name, await requireModel(context.env, name)));
  });

function modelObject(name: string, entry: CatalogEntry): Record<string, unknown> {
  return {
    id: name,
    object: "model",
    // The catalog keeps no dates; clients only need the field to be there.
    created: 0,
    owned_by: "poolkeeper",
    context_length: entry.context_length,
    ...(name === entry.id ? { aliases: entry.aliases } : { alias_of: entry.id }),
  };
}
