import type { ApiError } from "../core/api-error.ts";
import {
  difference,
  NO_DIFFERENCE,
  type AskedCall,
  type CallOutcome,
  type Difference,
} from "../core/audit.ts";
import { changeCatalog, modelsGone, type CatalogChange } from "../core/catalog-change.ts";
import { catalogDifference, wholeDifference } from "../core/catalog-difference.ts";
import { whyOutdated, type Precondition } from "../core/catalog-tags.ts";
import {
  CATALOG_UNREADABLE,
  EMPTY_CATALOG,
  parseCatalog,
  type Catalog,
  type CatalogEntry,
  type ParsedCatalog,
} from "../core/catalog.ts";
import { FLAG_NAMES, type FlagName } from "../core/flags.ts";
import type { ControlPlane } from "../core/fleet/control-plane.ts";
import { KV_WRITE_GAP_MS } from "../core/limits.ts";
import { readOwnCatalog } from "../core/own-catalog.ts";
import type { ModelId } from "../protocol/ids.ts";
import { logError, logWarning } from "./log.ts";
import {
  readOperatorValues,
  writeOperatorValue,
  type OperatorValue,
  type ReadValue,
} from "./operator-values.ts";
import type { SqlFleetStore } from "./storage/fleet-store.ts";
import { tryParseJson } from "./try-parse-json.ts";

/** The catalog in force. Versions count its changes; 0 before the first one. */
export interface CatalogInForce {
  readonly version: number;
  readonly entries: readonly CatalogEntry[];
}

export interface AskedChange {
  readonly change: CatalogChange;
  /** The operator insists, although the change leaves something broken. */
  readonly isForced: boolean;
  readonly onlyOver: Precondition;
}

export type CatalogVerdict =
  | ({ readonly ok: true; readonly isAddition: boolean; readonly difference: Difference } & CatalogInForce)
  | { readonly ok: false; readonly error: ApiError };

export interface OperatorsHost {
  /** Another flag is in force from now on. */
  flagsChanged(): void;
  /** Another catalog is in force from now on. @param gone models that are no longer in it. */
  catalogChanged(gone: readonly ModelId[]): void;
  /** Somebody has written to KV what was found there now, for the log of changes. */
  writtenByHand(call: AskedCall, outcome: CallOutcome): void;
}

/**
 * What operators have set: the flags and the catalog. What comes through the API is in force here first and then shown in KV;
 * what somebody writes to KV by hand is in force from the next look on.
 */
export class Operators {
  readonly #kv: KVNamespace;
  readonly #store: SqlFleetStore;
  readonly #core: ControlPlane;
  readonly #host: OperatorsHost;
  /** In force here and not in KV yet. */
  readonly #unwritten = new Map<string, OperatorValue>();
  /** The newest write of each key. */
  readonly #writes = new Map<string, Promise<void>>();

  /** Puts the catalog of an earlier life in force. */
  constructor(kv: KVNamespace, store: SqlFleetStore, core: ControlPlane, host: OperatorsHost) {
    this.#kv = kv;
    this.#store = store;
    this.#core = core;
    this.#host = host;
    const catalog = store.catalog();
    if (catalog !== null) this.#reviveCatalog(catalog.json);
  }

  /** With what was written to KV by hand up to now; null if none is known and KV does not say. */
  async catalog(): Promise<CatalogInForce | null> {
    const catalog = this.#knownCatalog(await this.#look());
    return catalog === null ? null : { version: this.#catalogVersion(), entries: catalog.entries };
  }

  /**
   * Changes the catalog. From the look at what is in force to the change of it nothing is awaited, so that no other change
   * comes between.
   */
  async changeCatalog({ change, isForced, onlyOver }: AskedChange): Promise<CatalogVerdict> {
    const known = this.#knownCatalog(await this.#look());
    // A whole catalog may replace one that is not known.
    const before = known ?? (change.kind === "replace" ? EMPTY_CATALOG : null);
    if (before === null) return { ok: false, error: CATALOG_UNREADABLE };
    const version = this.#catalogVersion();
    const outdated = whyOutdated(change, onlyOver, before, version);
    if (outdated !== null) return { ok: false, error: outdated };
    const changed = changeCatalog(before, change, isForced, (model) => this.#core.intents.assignedTo(model));
    if (!changed.ok) return changed;
    const { entries } = changed.catalog;
    const json = JSON.stringify(entries);
    const value = { value: json, version: this.#adoptCatalog(json, changed) };
    this.#host.catalogChanged(changed.gone);
    await this.#write("catalog", value);
    return {
      ok: true,
      version: value.version,
      entries,
      isAddition: changed.isAddition,
      difference: catalogDifference(before, changed.catalog, change),
    };
  }

  /** @returns what is wrong with the value, or null. */
  async setFlag(flag: FlagName, text: string): Promise<string | null> {
    const { flagBook } = this.#core;
    const problem = flagBook.set(flag, text);
    if (problem !== null) return problem;
    this.#host.flagsChanged();
    await this.#write(flag, { value: text, version: flagBook.version });
    return null;
  }

  /** Woken by the present call, the fleet may not have seen the catalog yet. */
  async needCatalog(): Promise<void> {
    if (this.#core.directory.catalog === null) await this.read();
  }

  /** Puts in force what was written to KV since the last look, and writes there what could not be written before. */
  async read(): Promise<void> {
    const tried = new Set(this.#unwritten.keys());
    for (const key of tried) await this.#show(key);
    await this.#look();
    // What an earlier life left unwritten: this one may sleep before the next tick, and forget it again.
    for (const key of this.#unwritten.keys()) if (!tried.has(key)) await this.#show(key);
  }

  /** @returns whether KV could be read. */
  async #look(): Promise<boolean> {
    const values = await this.#readKv();
    if (values === null) return false;
    let isChanged = false;
    for (const name of FLAG_NAMES) {
      const read = values.get(name) ?? { value: null, version: null, isOurs: false };
      isChanged = this.#readFlag(name, read) || isChanged;
      this.#compareFlag(name, read);
    }
    if (isChanged) this.#host.flagsChanged();
    const catalog = values.get("catalog");
    if (catalog !== undefined) this.#readCatalog(catalog);
    return true;
  }

  /** @returns whether another value is in force from now on */
  #readFlag(name: FlagName, { value, isOurs }: ReadValue): boolean {
    const { flagBook } = this.#core;
    const before = flagBook.view(name);
    const isChanged = flagBook.readKv(name, value, isOurs);
    const after = flagBook.view(name);
    const isRefused = after.invalid !== undefined && after.invalid !== before.invalid;
    if (isChanged || isRefused) {
      const differs = isRefused
        ? difference(null, { value: after.invalid })
        : difference({ value: before.value }, { value: after.value });
      this.#noteByHand(`flags/${name}`, !isRefused, differs);
    }
    return isChanged;
  }

  #noteByHand(place: string, isValid: boolean, differs: Difference): void {
    const nobody = { requestId: null, tokenId: null, tokenName: null, address: null };
    this.#host.writtenByHand(
      { ...nobody, method: "KV", path: `/v1/admin/${place}` },
      isValid
        ? { status: 200, code: null, ...differs }
        : { status: 400, code: "invalid_request", ...differs },
    );
  }

  /** Null if it cannot be read. */
  async #readKv(): Promise<Map<string, ReadValue> | null> {
    try {
      return await readOperatorValues(this.#kv, [...FLAG_NAMES, "catalog"]);
    } catch (error) {
      logWarning("flags_unreadable", { error: String(error).slice(0, 200) });
      return null;
    }
  }

  /** Null if none is known: then nobody may conclude that there is none, unless KV was read and has nothing either. */
  #knownCatalog(isRead: boolean): Catalog | null {
    const isNowhere = isRead && this.#store.lastReadCatalog() === null;
    return this.#core.directory.catalog ?? (isNowhere ? EMPTY_CATALOG : null);
  }

  #catalogVersion(): number {
    return this.#store.catalog()?.version ?? 0;
  }

  /**
   * If KV shows the fleet's own writing and not the value in force, it is late, or an earlier life of this object ended
   * before it could write the newest. Either way the newest is written.
   */
  #compareFlag(name: FlagName, { value, isOurs }: ReadValue): void {
    const { flagBook } = this.#core;
    const newest = flagBook.view(name).value;
    if (isOurs && value !== newest) this.#unwritten.set(name, { value: newest, version: flagBook.version });
  }

  /** One written by hand counts once: KV may show it again for a minute after a newer one was put in force here. */
  #readCatalog({ value, version, isOurs }: ReadValue): void {
    const newest = this.#store.catalog();
    if (version !== null && newest !== null && version < newest.version) {
      // It may only be late, or an earlier life of this object has ended before it could show the newest.
      this.#unwritten.set("catalog", { value: newest.json, version: newest.version });
    }
    const lastRead = isOurs ? null : value;
    if (lastRead === this.#store.lastReadCatalog()) return;
    if (lastRead !== null) this.#adoptByHand(lastRead);
    this.#store.saveLastReadCatalog(lastRead);
  }

  /** A catalog written by hand has no `force`: machines of models that it leaves out are released. */
  #adoptByHand(json: string): void {
    const before = this.#core.directory.catalog ?? EMPTY_CATALOG;
    const parsed = parseCatalog(tryParseJson(json));
    this.#adoptCatalog(json, parsed);
    const gone = parsed.ok ? modelsGone(before, parsed.catalog) : [];
    const differs = parsed.ok ? wholeDifference(before, parsed.catalog) : NO_DIFFERENCE;
    this.#noteByHand("catalog", parsed.ok, differs);
    if (gone.length > 0) this.#host.catalogChanged(gone);
  }

  /** A catalog that does not parse changes nothing. @returns the version in force. */
  #adoptCatalog(json: string, parsed: ParsedCatalog): number {
    const version = this.#catalogVersion() + Number(parsed.ok);
    if (parsed.ok) this.#store.saveCatalog(version, json);
    this.#useCatalog(parsed);
    return version;
  }

  #reviveCatalog(json: string): void {
    const { parsed, leftOut } = readOwnCatalog(tryParseJson(json));
    if (leftOut.length > 0) {
      logWarning("catalog_of_later_version", {
        problems: leftOut.length,
        leftOut: leftOut.join(", ").slice(0, 200),
      });
    }
    this.#useCatalog(parsed);
  }

  #useCatalog(parsed: ParsedCatalog): void {
    if (parsed.ok) this.#core.directory.catalog = parsed.catalog;
    else logError("catalog_invalid", { param: parsed.param, message: parsed.message });
  }

  /** What cannot be shown in KV is in force all the same; the next look tries again. */
  async #write(key: string, value: OperatorValue): Promise<void> {
    this.#unwritten.set(key, value);
    await this.#show(key);
    if (this.#unwritten.get(key) !== value) return;
    // KV takes one write of a key in a second, and an operator may be faster.
    await scheduler.wait(KV_WRITE_GAP_MS);
    await this.#show(key);
  }

  /** One write of a key at a time, so that KV never ends with a value that is not the newest. */
  #show(key: string): Promise<void> {
    const shown = (this.#writes.get(key) ?? Promise.resolve()).then(() => this.#showNewest(key));
    this.#writes.set(key, shown);
    return shown;
  }

  async #showNewest(key: string): Promise<void> {
    const newest = this.#unwritten.get(key);
    if (newest === undefined) return;
    try {
      await writeOperatorValue(this.#kv, key, newest);
      if (this.#unwritten.get(key) === newest) this.#unwritten.delete(key);
    } catch (error) {
      logWarning("kv_write_failed", { key, error: String(error).slice(0, 200) });
    }
  }
}
