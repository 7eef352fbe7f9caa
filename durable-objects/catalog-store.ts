import { parseKeptCatalog, type Catalog } from "../core/catalog.ts";
import { CATALOG_STALE_MS, CATALOG_TTL_MS } from "../core/limits.ts";
import { readOwnCatalog } from "../core/own-catalog.ts";
import { logError } from "./log.ts";
import { readOperatorValue } from "./operator-values.ts";

/**
 * The catalog in KV (namespace FLAGS, key `catalog`), cached per isolate for five seconds and never used when it is older than
 * ten: every read is billed, and KV itself caches for a minute per location. A value that does not parse, or cannot be read,
 * leaves the last valid one in force, so that a typo never takes the fleet down.
 *
 * Requests do not wait for each other's reads: the platform takes a request that only waits for another request's I/O for hung,
 * and answers it with a bare 500. While one reads, the others use what is known.
 */
export class CatalogStore {
  /** Null until a valid one has been read. */
  #catalog: Catalog | null = null;
  /** Of the newest catalog seen that carries one. */
  #version = 0;
  /** The newest text seen that somebody had written by hand. */
  #byHand: string | null = null;
  #readAt = -Infinity;
  /** When a request last started to read. It may have been cancelled since, so the read may never end. */
  #askedAt = -Infinity;
  /** Counts catalogs that came by another way than reading: a read that was under way then is out of date. */
  #adopted = 0;

  /** Null if this isolate has never seen a valid one: then nobody may conclude that a model is not in it. */
  async read(kv: KVNamespace, now: number): Promise<Catalog | null> {
    if (now - this.#readAt < CATALOG_TTL_MS) return this.#catalog;
    const isBeingRead = now - this.#askedAt < CATALOG_TTL_MS;
    if (isBeingRead && this.#catalog !== null && now - this.#readAt < CATALOG_STALE_MS) return this.#catalog;
    this.#askedAt = now;
    return this.#refresh(kv, now);
  }

  /** Takes a catalog that has just been put in force as `version`: what KV shows of older ones no longer counts. */
  adopt(catalog: Catalog, version: number, now: number): void {
    // Of two changes at once the answer to the first may come last.
    if (version < this.#version) return;
    this.#catalog = catalog;
    this.#version = version;
    this.#readAt = now;
    this.#adopted += 1;
  }

  async #refresh(kv: KVNamespace, now: number): Promise<Catalog | null> {
    const adopted = this.#adopted;
    const read = await readCatalog(kv);
    if (adopted !== this.#adopted) return this.#catalog;
    // Without any, all requests are refused: the next one tries again.
    if (read !== null || this.#catalog !== null) this.#readAt = now;
    if (read === null) return this.#catalog;
    // KV shows old values for a minute. One written by hand carries no version: it counts if it was not seen before.
    const isOld = read.version === null ? read.text === this.#byHand : read.version < this.#version;
    if (read.version === null) this.#byHand = read.text;
    if (isOld) return this.#catalog;
    this.#version = read.version ?? this.#version;
    this.#catalog = read.catalog;
    return this.#catalog;
  }
}

const KEY = "catalog";

async function readCatalog(
  kv: KVNamespace,
): Promise<{ readonly catalog: Catalog; readonly version: number | null; readonly text: string } | null> {
  try {
    const read = await readOperatorValue(kv, KEY);
    const text = read.value ?? "[]";
    const json: unknown = JSON.parse(text);
    const parsed = read.isOurs ? readOwnCatalog(json).parsed : parseKeptCatalog(json);
    if (parsed.ok) return { catalog: parsed.catalog, version: read.version, text };
    logError("catalog_invalid", { param: parsed.param, message: parsed.message });
  } catch (error) {
    logError("catalog_unreadable", { error: String(error).slice(0, 200) });
  }
  return null;
}
