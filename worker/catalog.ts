import type { Catalog, CatalogEntry } from "../core/catalog.ts";
import { CatalogStore } from "../durable-objects/catalog-store.ts";
import type { Env } from "../durable-objects/env.ts";
import { HttpError } from "./http-error.ts";

/** The catalog as this isolate knows it. */
export const catalogStore = new CatalogStore();

export async function readCatalog(env: Env): Promise<Catalog> {
  return catalogStore.read(env.FLAGS, Date.now());
}

/** @throws HttpError 404 `model_not_found` */
export async function requireModel(env: Env, name: string): Promise<CatalogEntry> {
  const entry = (await readCatalog(env)).find(name);
  if (entry !== undefined) return entry;
  throw new HttpError({
    code: "model_not_found",
    message: `the model "${name}" does not exist; GET /v1/models lists those that do`,
    param: "model",
  });
}
