import { EMPTY_CATALOG, parseCatalog, type Catalog } from "../core/catalog.ts";
import { CATALOG_TTL_MS } from "../core/limits.ts";
import { logError } from "./log.ts";

/**
 * The catalog in KV (namespace FLAGS, key `catalog`), read at most once a second per isolate. A value that does not
 * parse keeps the last good one in force, so a slip of the pen never takes the fleet down.
 */
export class CatalogStore {
  #catalog: Catalog = EMPTY_CATALOG;
  #readAt = -Infinity;
  #reading: Promise<Catalog> | null = null;

  async read(kv: KVNamespace, now: number): Promise<Catalog> {
    if (now - this.#readAt < CATALOG_TTL_MS) return this.#catalog;
    this.#reading ??= this.#refresh(kv, now).finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  /** Writes a checked catalog; it is in force here at once. */
  async write(kv: KVNamespace, catalog: Catalog, now: number): Promise<void> {
    await kv.put(KEY, JSON.stringify(catalog.entries));
    this.adopt(catalog, now);
  }

  /** Takes a catalog that somebody else has just written. */
  adopt(catalog: Catalog, now: number): void {
    this.#catalog = catalog;
    this.#readAt = now;
  }

  async #refresh(kv: KVNamespace, now: number): Promise<Catalog> {
    const parsed = parseCatalog(await readJson(kv));
    if (parsed.ok) this.#catalog = parsed.catalog;
    else logError("catalog_invalid", { param: parsed.param, message: parsed.message });
    this.#readAt = now;
    return this.#catalog;
  }
}

const KEY = "catalog";

async function readJson(kv: KVNamespace): Promise<unknown> {
  const text = await kv.get(KEY);
  if (text === null) return [];
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
