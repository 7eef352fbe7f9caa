import { Hono } from "hono";

import type { CatalogEntry } from "../../core/catalog.ts";
import { speaksAnthropic } from "../anthropic/clients.ts";
import { modelInfo, modelPage } from "../anthropic/model-info.ts";
import { requireKeyOfEitherHeader } from "../auth.ts";
import { readCatalog, requireModel } from "../catalog.ts";
import type { AppEnv } from "../context.ts";

/** `GET /v1/models` and `/v1/models/{id}`: the catalog, aliases included, in the words of whichever API asks. Ids may contain slashes. */
export const models = new Hono<AppEnv>()
  .get("/", requireKeyOfEitherHeader, async (context) => {
    const { entries } = await readCatalog(context.env);
    const named = entries.flatMap((entry) => [entry.id, ...entry.aliases].map((name) => ({ name, entry })));
    if (speaksAnthropic(context)) return context.json(modelPage(named));
    const data = named.map(({ name, entry }) => modelObject(name, entry));
    return context.json({ object: "list", data });
  })
  .get("/:id{.+}", requireKeyOfEitherHeader, async (context) => {
    const name = context.req.param("id");
    const entry = await requireModel(context.env, name);
    return context.json(speaksAnthropic(context) ? modelInfo({ name, entry }) : modelObject(name, entry));
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
