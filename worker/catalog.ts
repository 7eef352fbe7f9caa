import { CATALOG_UNREADABLE, type Catalog, type CatalogEntry } from "../core/catalog.ts";
import { CatalogStore } from "../durable-objects/catalog-store.ts";
import type { Env } from "../durable-objects/env.ts";
import { HttpError } from "./http-error.ts";

/** The catalog as this isolate knows it. */
export const catalogStore = new CatalogStore();

/** @throws HttpError 503 `try_again` if this isolate has never seen a valid one */
export async function readCatalog(env: Env): Promise<Catalog> {
  const catalog = await catalogStore.read(env.FLAGS, Date.now());
  if (catalog !== null) return catalog;
  throw new HttpError(CATALOG_UNREADABLE);
}

/**
 * @param param the field that names it.
 * @throws HttpError 404 `model_not_found`, and as `readCatalog`
 */
export async function requireModel(env: Env, name: string, param = "model"): Promise<CatalogEntry> {
  const entry = (await readCatalog(env)).find(name);
  if (entry !== undefined) return entry;
  throw new HttpError({
    code: "model_not_found",
    message: `the model "${name.slice(0, 200)}" does not exist; GET /v1/models lists those that do`,
    param,
  });
}
