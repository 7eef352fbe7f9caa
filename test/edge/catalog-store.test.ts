import { beforeEach, describe, expect, it, vi } from "vitest";

import { parseCatalog, type Catalog } from "../../core/catalog.ts";
import { CatalogStore } from "../../durable-objects/catalog-store.ts";
import { catalogEntry, testEnv } from "./scene.ts";

/**
 * Whether a read goes to KV is decided when it is asked for, so KV is given another catalog between two of them: which of
 * the two comes back says what was read. Nothing is awaited between reads that are to overlap.
 */

const kv = testEnv.FLAGS;

function catalogOf(...ids: string[]): Catalog {
  const parsed = parseCatalog(ids.map((id) => catalogEntry(id)));
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.catalog;
}

/** As somebody does by hand, or as the fleet does, which names the version. */
async function write(ids: readonly string[], version?: number): Promise<void> {
  const text = JSON.stringify(ids.map((id) => catalogEntry(id)));
  await kv.put("catalog", text, version === undefined ? {} : { metadata: { version } });
}

const idsOf = (catalog: Catalog | null | undefined): string[] | undefined =>
  catalog?.entries.map(({ id }) => id);

describe("the catalog an isolate knows", () => {
  beforeEach(() => kv.delete("catalog"));

  it("is kept for five seconds, since each reading of KV is paid for", async () => {
    const store = new CatalogStore();
    await write(["a"]);
    expect(idsOf(await store.read(kv, 10_000))).toEqual(["a"]);
    await write(["b"]);
    expect(idsOf(await store.read(kv, 14_999))).toEqual(["a"]);
    expect(idsOf(await store.read(kv, 15_000))).toEqual(["b"]);
  });

  it("makes nobody wait for what another request reads, and nobody use one that is older than ten seconds", async () => {
    const store = new CatalogStore();
    await write(["old"]);
    await store.read(kv, 10_000);
    await write(["new"]);
    const reading = store.read(kv, 16_000);
    // The read above has not ended, and may never: its request may be gone.
    const meanwhile = store.read(kv, 17_000);
    const own = store.read(kv, 20_000);
    expect(idsOf(await meanwhile)).toEqual(["old"]);
    expect(idsOf(await own)).toEqual(["new"]);
    expect(idsOf(await reading)).toEqual(["new"]);
  });

  it("is read anew for each of the first requests, as long as there is none to answer them with", async () => {
    const store = new CatalogStore();
    await write(["a"]);
    const asked = await Promise.all([store.read(kv, 10_000), store.read(kv, 10_000)]);
    expect(asked.map(idsOf)).toEqual([["a"], ["a"]]);
    const unlucky = new CatalogStore();
    await kv.put("catalog", "{");
    await unlucky.read(kv, 10_000);
    await write(["a"]);
    const again = await Promise.all([unlucky.read(kv, 15_000), unlucky.read(kv, 15_000)]);
    expect(again.map(idsOf)).toEqual([["a"], ["a"]]);
  });

  it("is read anew at once after a reading that failed, as long as there is none", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const store = new CatalogStore();
    const failed = vi.spyOn(Object.getPrototypeOf(kv) as KVNamespace, "getWithMetadata");
    failed.mockRejectedValueOnce(new Error("KV GET failed: 503"));
    await write(["a"]);
    expect(await store.read(kv, 10_000)).toBeNull();
    expect(idsOf(await store.read(kv, 10_001))).toEqual(["a"]);
    failed.mockRestore();
    logged.mockRestore();
  });

  it.each([
    ["is no JSON", "{", "catalog_unreadable"],
    ["is no catalog", '[{"id":"a"}]', "catalog_invalid"],
  ])(
    "stays the last good one while what is stored %s, and is unknown if there was none",
    async (_, text, event) => {
      const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
      const store = new CatalogStore();
      await kv.put("catalog", text);
      expect(await store.read(kv, 10_000)).toBeNull();
      await write(["a"]);
      expect(idsOf(await store.read(kv, 20_000))).toEqual(["a"]);
      await kv.put("catalog", text);
      expect(idsOf(await store.read(kv, 30_000))).toEqual(["a"]);
      const line: unknown = expect.objectContaining({ event });
      expect(logged.mock.calls).toEqual([[line], [line]]);
      logged.mockRestore();
    },
  );

  it("is that of a later version without what this one does not know, but not one that somebody has misspelled by hand", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const text = JSON.stringify([catalogEntry("a", { colour: "red" })]);
    await kv.put("catalog", text, { metadata: { version: 1 } });
    expect(idsOf(await new CatalogStore().read(kv, 10_000))).toEqual(["a"]);
    await kv.put("catalog", text);
    expect(await new CatalogStore().read(kv, 10_000)).toBeNull();
    expect(logged.mock.calls).toMatchObject([[{ event: "catalog_invalid", param: "[0].colour" }]]);
    logged.mockRestore();
  });

  it("is empty, and known to be, if none was ever stored", async () => {
    expect(idsOf(await new CatalogStore().read(kv, 10_000))).toEqual([]);
  });

  it("is the one just written, also when an older one is still being read", async () => {
    const store = new CatalogStore();
    await write(["old"]);
    const reading = store.read(kv, 10_000);
    store.adopt(catalogOf("new"), 7, 10_000);
    expect(idsOf(await reading)).toEqual(["new"]);
    expect(idsOf(await store.read(kv, 14_999))).toEqual(["new"]);
    const unread = new CatalogStore();
    unread.adopt(catalogOf("new"), 7, 10_000);
    expect(idsOf(await unread.read(kv, 14_999))).toEqual(["new"]);
    expect(idsOf(await unread.read(kv, 15_000))).toEqual(["old"]);
  });

  it("is not replaced by an older version that KV still shows, but is by one written by hand", async () => {
    const store = new CatalogStore();
    store.adopt(catalogOf("new"), 7, 10_000);
    await write(["old"], 6);
    expect(idsOf(await store.read(kv, 20_000))).toEqual(["new"]);
    await write(["mine"]);
    expect(idsOf(await store.read(kv, 30_000))).toEqual(["mine"]);
  });

  it("is the newest of those that KV has shown, however late it shows an older one", async () => {
    const store = new CatalogStore();
    await write(["new"], 7);
    expect(idsOf(await store.read(kv, 10_000))).toEqual(["new"]);
    await write(["old"], 6);
    expect(idsOf(await store.read(kv, 20_000))).toEqual(["new"]);
    await write(["mine"]);
    expect(idsOf(await store.read(kv, 30_000))).toEqual(["mine"]);
    await write(["old"], 6);
    expect(idsOf(await store.read(kv, 40_000))).toEqual(["mine"]);
  });

  it("[H17] is the newest of two that were put in force at once, whichever is heard of first", async () => {
    const store = new CatalogStore();
    store.adopt(catalogOf("second"), 8, 10_000);
    store.adopt(catalogOf("first"), 7, 10_001);
    expect(idsOf(await store.read(kv, 10_002))).toEqual(["second"]);
  });

  it("[H17] is one written by hand only once, although KV shows that still when a newer one is in force", async () => {
    const store = new CatalogStore();
    await write(["mine"]);
    expect(idsOf(await store.read(kv, 10_000))).toEqual(["mine"]);
    store.adopt(catalogOf("new"), 7, 11_000);
    expect(idsOf(await store.read(kv, 20_000))).toEqual(["new"]);
    await write(["mine-2"]);
    expect(idsOf(await store.read(kv, 30_000))).toEqual(["mine-2"]);
  });

  it("[H17] is one written by hand also if the fleet has had just that before", async () => {
    const store = new CatalogStore();
    await write(["old"], 7);
    await store.read(kv, 10_000);
    store.adopt(catalogOf("new"), 8, 11_000);
    await write(["old"]);
    expect(idsOf(await store.read(kv, 20_000))).toEqual(["old"]);
  });
});
