import { describe, expect, it } from "vitest";

import { parseCatalog, type Catalog } from "../../core/catalog.ts";
import { CatalogStore } from "../../durable-objects/catalog-store.ts";
import { catalogEntry } from "./scene.ts";

function catalogOf(...ids: string[]): Catalog {
  const parsed = parseCatalog(ids.map((id) => catalogEntry(id)));
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.catalog;
}

/** A KV whose reads end when, and as, the test says. */
class SlowKv {
  readonly reads: PromiseWithResolvers<string | null>[] = [];
  /** What the value carries that a read beginning now will find. */
  metadata: unknown = null;

  async getWithMetadata(): Promise<{ value: string | null; metadata: unknown }> {
    const read = Promise.withResolvers<string | null>();
    this.reads.push(read);
    const { metadata } = this;
    return { value: await read.promise, metadata };
  }

  asKv(): KVNamespace {
    return this as unknown as KVNamespace;
  }
}

const text = (...ids: string[]): string => JSON.stringify(ids.map((id) => catalogEntry(id)));
const idsOf = (catalog: Catalog | null | undefined): string[] | undefined =>
  catalog?.entries.map(({ id }) => id);

describe("the catalog an isolate knows", () => {
  it("is kept for half a second", async () => {
    const kv = new SlowKv();
    const store = new CatalogStore();
    const first = store.read(kv.asKv(), 1000);
    kv.reads[0]?.resolve(text("a"));
    expect(idsOf(await first)).toEqual(["a"]);
    expect(idsOf(await store.read(kv.asKv(), 1499))).toEqual(["a"]);
    expect(kv.reads).toHaveLength(1);
    const later = store.read(kv.asKv(), 1500);
    kv.reads[1]?.resolve(text("b"));
    expect(idsOf(await later)).toEqual(["b"]);
  });

  it("makes nobody wait for what another request reads, and nobody use one that is older than a second", async () => {
    const kv = new SlowKv();
    const store = new CatalogStore();
    const first = store.read(kv.asKv(), 1000);
    kv.reads[0]?.resolve(text("old"));
    await first;
    const reading = store.read(kv.asKv(), 1600);
    // The read above has not ended, and may never: its request may be gone.
    expect(idsOf(await store.read(kv.asKv(), 1700))).toEqual(["old"]);
    expect(kv.reads).toHaveLength(2);
    const own = store.read(kv.asKv(), 2050);
    expect(kv.reads).toHaveLength(3);
    kv.reads[2]?.resolve(text("new"));
    expect(idsOf(await own)).toEqual(["new"]);
    kv.reads[1]?.resolve(text("new"));
    await reading;
  });

  it("is read by each of the first who ask, since there is nothing to go on with", async () => {
    const kv = new SlowKv();
    const store = new CatalogStore();
    const asked = [store.read(kv.asKv(), 1000), store.read(kv.asKv(), 1000)];
    expect(kv.reads).toHaveLength(2);
    kv.reads[1]?.resolve(text("a"));
    expect(idsOf(await asked[1])).toEqual(["a"]);
    kv.reads[0]?.resolve(text("a"));
    await asked[0];
  });

  it.each<[string, (read: PromiseWithResolvers<string | null>) => void]>([
    ["is no JSON", (read) => read.resolve("{")],
    ["is no catalog", (read) => read.resolve('[{"id":"a"}]')],
    ["cannot be read", (read) => read.reject(new Error("KV is down"))],
  ])(
    "stays the last good one while what is stored %s, and is unknown if there was none",
    async (_, spoil) => {
      const kv = new SlowKv();
      const store = new CatalogStore();
      const first = store.read(kv.asKv(), 1000);
      kv.reads.forEach(spoil);
      expect(await first).toBeNull();
      const good = store.read(kv.asKv(), 2000);
      kv.reads[1]?.resolve(text("a"));
      expect(idsOf(await good)).toEqual(["a"]);
      const later = store.read(kv.asKv(), 3000);
      kv.reads.slice(2).forEach(spoil);
      expect(idsOf(await later)).toEqual(["a"]);
    },
  );

  it("is empty, and known to be, if none was ever stored", async () => {
    const kv = new SlowKv();
    const read = new CatalogStore().read(kv.asKv(), 1000);
    kv.reads[0]?.resolve(null);
    expect(idsOf(await read)).toEqual([]);
  });

  it("is the one just written, also when an older one is still being read", async () => {
    const kv = new SlowKv();
    const store = new CatalogStore();
    const reading = store.read(kv.asKv(), 1000);
    store.adopt(catalogOf("new"), 7, 1000);
    kv.reads[0]?.resolve(text("old"));
    expect(idsOf(await reading)).toEqual(["new"]);
    expect(idsOf(await store.read(kv.asKv(), 1499))).toEqual(["new"]);
  });

  it("is not replaced by an older version that KV still shows, but is by one written by hand", async () => {
    const kv = new SlowKv();
    const store = new CatalogStore();
    store.adopt(catalogOf("new"), 7, 1000);
    kv.metadata = { version: 6 };
    const stale = store.read(kv.asKv(), 2000);
    kv.reads[0]?.resolve(text("old"));
    expect(idsOf(await stale)).toEqual(["new"]);
    kv.metadata = null;
    const byHand = store.read(kv.asKv(), 3000);
    kv.reads[1]?.resolve(text("mine"));
    expect(idsOf(await byHand)).toEqual(["mine"]);
  });
});
