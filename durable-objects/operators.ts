import { parseCatalog } from "../core/catalog.ts";
import { FLAG_NAMES, type FlagName } from "../core/flags.ts";
import type { ControlPlane } from "../core/fleet/control-plane.ts";
import { logError, logWarning } from "./log.ts";
import {
  readOperatorValues,
  writeOperatorValue,
  type OperatorValue,
  type ReadValue,
} from "./operator-values.ts";
import type { SqlFleetStore } from "./storage/fleet-store.ts";

/**
 * What operators have set: the flags and the catalog. What comes through the API is in force here first and then shown in KV;
 * what somebody writes to KV by hand is in force from the next look on.
 */
export class Operators {
  readonly #kv: KVNamespace;
  readonly #store: SqlFleetStore;
  readonly #core: ControlPlane;
  readonly #onFlagsChanged: () => void;
  /** In force here and not in KV yet. */
  readonly #unwritten = new Map<string, OperatorValue>();

  /** Puts the catalog of an earlier life in force. @param onFlagsChanged another flag is in force from now on. */
  constructor(kv: KVNamespace, store: SqlFleetStore, core: ControlPlane, onFlagsChanged: () => void) {
    this.#kv = kv;
    this.#store = store;
    this.#core = core;
    this.#onFlagsChanged = onFlagsChanged;
    const catalog = store.catalog();
    if (catalog !== null) this.#useCatalog(catalog.json);
  }

  /** @param json a checked catalog. @returns its version. */
  async setCatalog(json: string): Promise<number> {
    const version = this.#adoptCatalog(json);
    await this.#write("catalog", { value: json, version });
    return version;
  }

  /** @returns what is wrong with the value, or null. */
  async setFlag(flag: FlagName, text: string): Promise<string | null> {
    const { flagBook } = this.#core;
    const problem = flagBook.set(flag, text);
    if (problem !== null) return problem;
    this.#onFlagsChanged();
    await this.#write(flag, { value: text, version: flagBook.version });
    return null;
  }

  /** Woken by the present call, the fleet may not have seen the catalog yet. */
  async needCatalog(): Promise<void> {
    if (this.#core.directory.catalog === null) await this.read();
  }

  /** What was written to KV since the last look counts now; what could not be written there yet is. */
  async read(): Promise<void> {
    for (const [key, value] of this.#unwritten) await this.#write(key, value);
    try {
      const values = await readOperatorValues(this.#kv, [...FLAG_NAMES, "catalog"]);
      let isChanged = false;
      for (const name of FLAG_NAMES) {
        const { value, isOurs } = values.get(name) ?? { value: null, isOurs: false };
        isChanged = this.#core.flagBook.readKv(name, value, isOurs) || isChanged;
      }
      if (isChanged) this.#onFlagsChanged();
      const catalog = values.get("catalog");
      if (catalog !== undefined) this.#readCatalog(catalog);
    } catch (error) {
      logWarning("flags_unreadable", { error: String(error).slice(0, 200) });
    }
  }

  /** One written by hand counts once: KV may show it again for a minute after a newer one was put in force here. */
  #readCatalog({ value, isOurs }: ReadValue): void {
    const lastRead = isOurs ? null : value;
    if (lastRead === this.#store.lastReadCatalog()) return;
    if (lastRead !== null) this.#adoptCatalog(lastRead);
    this.#store.saveLastReadCatalog(lastRead);
  }

  /** A catalog that does not parse changes nothing. @returns the version in force. */
  #adoptCatalog(json: string): number {
    const version = this.#store.catalog()?.version ?? 0;
    if (!this.#useCatalog(json)) return version;
    this.#store.saveCatalog(version + 1, json);
    return version + 1;
  }

  #useCatalog(json: string): boolean {
    const parsed = parseCatalog(tryParseJson(json));
    if (parsed.ok) this.#core.directory.catalog = parsed.catalog;
    else logError("catalog_invalid", { param: parsed.param, message: parsed.message });
    return parsed.ok;
  }

  async #write(key: string, value: OperatorValue): Promise<void> {
    try {
      await writeOperatorValue(this.#kv, key, value);
      this.#unwritten.delete(key);
    } catch (error) {
      // In force already; the next tick tries again to show it in KV.
      this.#unwritten.set(key, value);
      logWarning("kv_write_failed", { key, error: String(error).slice(0, 200) });
    }
  }
}

function tryParseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
