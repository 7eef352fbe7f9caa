import { runInDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";

import { ControlPlane } from "../../core/fleet/control-plane.ts";
import { Operators, type CatalogVerdict, type OperatorsHost } from "../../durable-objects/operators.ts";
import { SqlFleetStore } from "../../durable-objects/storage/fleet-store.ts";
import { SqlPlacementStore } from "../../durable-objects/storage/placement-store.ts";
import { catalogEntry, testEnv, unique, until } from "./scene.ts";

/** What operators have set, over a KV that does what the test wants. */

interface Store {
  readonly fleet: SqlFleetStore;
  readonly plans: SqlPlacementStore;
}

/** The storage of a fleet that nobody else uses. */
async function withStore(run: (store: Store) => Promise<void>): Promise<void> {
  await runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) =>
    run({ fleet: new SqlFleetStore(storage), plans: new SqlPlacementStore(storage.sql) }),
  );
}

/** A life of the fleet, as far as it is about operators. */
function operatorsOf(
  { fleet, plans }: Store,
  kv: Pick<SomeKv, "put" | "getWithMetadata">,
  flagsChanged: () => void = () => undefined,
  writtenByHand: OperatorsHost["writtenByHand"] = () => undefined,
): Operators {
  const core = new ControlPlane({
    callPool: () => undefined,
    isRevoked: () => false,
    onEpochsUsedUp: () => undefined,
    store: fleet,
    plans,
    newestProvider: "0.7.0",
  });
  const host = { flagsChanged, catalogChanged: () => undefined, writtenByHand };
  return new Operators(kv as unknown as KVNamespace, fleet, core, host);
}

const entry = (id: string) =>
  catalogEntry(id, { context_length: 4096, size_gb: 1, min_ram_gb: 2, aliases: [], floor: 0 }) as never;

const add = (operators: Operators, id: string): Promise<CatalogVerdict> =>
  operators.changeCatalog({
    change: { kind: "put", entry: entry(id) },
    isForced: false,
    onlyOver: "anything",
  });

describe("KV, which shows the catalog,", () => {
  /** Takes one write at a time, as the test lets it; more at once are a mistake. */
  class SlowKv {
    readonly written: { value: string; metadata: unknown }[] = [];
    readonly #gates: PromiseWithResolvers<void>[] = [];
    isWriting = false;

    async put(_key: string, value: string, options: { metadata: unknown }): Promise<void> {
      expect(this.isWriting).toBe(false);
      this.isWriting = true;
      const gate = Promise.withResolvers<void>();
      this.#gates.push(gate);
      await gate.promise.finally(() => {
        this.isWriting = false;
      });
      this.written.push({ value, metadata: options.metadata });
    }

    async getWithMetadata(keys: string[]): Promise<Map<string, null>> {
      return new Map(keys.map((key) => [key, null]));
    }

    async settle(act: (gate: PromiseWithResolvers<void>) => void): Promise<void> {
      await until(() => this.#gates.length > 0);
      const gate = this.#gates.shift();
      if (gate !== undefined) act(gate);
    }
  }

  const withSlowKv = (run: (operators: Operators, kv: SlowKv) => Promise<void>): Promise<void> =>
    withStore(async (store) => {
      const kv = new SlowKv();
      await run(operatorsOf(store, kv), kv);
    });

  it("ends with the newest catalog, which has all changes, even if two come in at once while it is being written", async () => {
    await withSlowKv(async (operators, kv) => {
      const changes = [add(operators, "a")];
      await until(() => kv.isWriting);
      changes.push(add(operators, "b"), add(operators, "c"));
      await until(async () => (await operators.catalog())?.version === 3);
      await kv.settle((gate) => gate.resolve());
      await kv.settle((gate) => gate.resolve());
      expect((await Promise.all(changes)).every(({ ok }) => ok)).toBe(true);
      expect(kv.written).toMatchObject([{ metadata: { version: 1 } }, { metadata: { version: 3 } }]);
      expect(JSON.parse(kv.written.at(-1)?.value ?? "")).toMatchObject([
        { id: "a" },
        { id: "b" },
        { id: "c" },
      ]);
    });
  });

  it("is asked again after a second if it refuses a write that came too soon", async () => {
    const waited = vi.spyOn(scheduler, "wait").mockResolvedValue(undefined);
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    try {
      await withSlowKv(async (operators, kv) => {
        const change = add(operators, "a");
        // Not by `until`, whose waits are held, too.
        while (!kv.isWriting) await Promise.resolve();
        await kv.settle((gate) => gate.reject(new Error("KV PUT failed: 429 Too Many Requests")));
        while (!kv.isWriting) await Promise.resolve();
        expect(kv.written).toEqual([]);
        await kv.settle((gate) => gate.resolve());
        expect(await change).toMatchObject({ ok: true, version: 1 });
        expect(waited).toHaveBeenCalledWith(1_100);
        expect(kv.written).toMatchObject([{ metadata: { version: 1 } }]);
      });
    } finally {
      vi.restoreAllMocks();
    }
  });
});

/** Holds what it is given, unless it is down. */
class SomeKv {
  readonly values = new Map<string, { value: string; metadata: unknown }>();
  isDown = false;
  reads = 0;

  async put(key: string, value: string, { metadata }: { metadata: unknown }): Promise<void> {
    if (this.isDown) throw new Error("KV PUT failed: 500");
    this.values.set(key, { value, metadata });
  }

  async getWithMetadata(keys: string[]): Promise<Map<string, { value: string; metadata: unknown } | null>> {
    this.reads += 1;
    if (this.isDown) throw new Error("KV GET failed: 500");
    return new Map(keys.map((key) => [key, this.values.get(key) ?? null]));
  }
}

const idsIn = async (operators: Operators): Promise<string[] | undefined> =>
  (await operators.catalog())?.entries.map(({ id }) => id);

describe("a catalog of which nothing is known,", () => {
  const warned = vi.fn<(line: { event: string }) => void>();

  beforeEach(() => {
    vi.spyOn(console, "warn").mockImplementation(warned);
    vi.spyOn(console, "error").mockImplementation(() => undefined);
    return () => vi.restoreAllMocks();
  });

  it("since KV has none, is empty", async () => {
    await withStore(async (store) => {
      expect(await operatorsOf(store, new SomeKv()).catalog()).toEqual({ version: 0, entries: [] });
    });
  });

  it.each<[string, (kv: SomeKv) => void]>([
    ["since KV cannot be read", (kv) => (kv.isDown = true)],
    ["since what is in KV is no catalog", (kv) => kv.values.set("catalog", { value: "{", metadata: null })],
  ])("%s, is not taken to be empty, and nothing is added to it", async (_, break_) => {
    await withStore(async (store) => {
      const kv = new SomeKv();
      break_(kv);
      const operators = operatorsOf(store, kv);
      expect(await operators.catalog()).toBeNull();
      expect(await add(operators, "a")).toMatchObject({ ok: false, error: { code: "try_again" } });
      expect(store.fleet.catalog()).toBeNull();
    });
  });

  it("can be put by whoever brings a whole one, and is shown in KV once that takes it", async () => {
    vi.spyOn(scheduler, "wait").mockResolvedValue(undefined);
    await withStore(async (store) => {
      const kv = new SomeKv();
      kv.isDown = true;
      const operators = operatorsOf(store, kv);
      const verdict = await operators.changeCatalog({
        change: { kind: "replace", entries: [entry("a")] },
        isForced: false,
        onlyOver: "anything",
      });
      expect(verdict).toMatchObject({ ok: true, version: 1 });
      const events = warned.mock.calls.map(([{ event }]) => event);
      expect(events).toEqual(["flags_unreadable", "kv_write_failed", "kv_write_failed"]);
      expect(await idsIn(operators)).toEqual(["a"]);
      kv.isDown = false;
      await operators.read();
      expect(kv.values.get("catalog")).toMatchObject({ metadata: { version: 1 } });
    });
  });
});

it("the catalog of an earlier life is in force also while KV cannot be read", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  await withStore(async (store) => {
    const kv = new SomeKv();
    await add(operatorsOf(store, kv), "a");
    kv.isDown = true;
    const later = operatorsOf(store, kv);
    await later.needCatalog();
    expect(kv.reads).toBe(1);
    expect(await idsIn(later)).toEqual(["a"]);
  });
  vi.restoreAllMocks();
});

it("a defect in what follows from a flag does not pass for a KV that cannot be read", async () => {
  await withStore(async (store) => {
    const kv = new SomeKv();
    kv.values.set("placement", { value: "shadow", metadata: null });
    const operators = operatorsOf(store, kv, () => {
      throw new Error("a defect");
    });
    await expect(operators.read()).rejects.toThrow("a defect");
  });
});

it("what KV shows is read by a fleet that needs a catalog and has none", async () => {
  await withStore(async (store) => {
    const kv = new SomeKv();
    kv.values.set("catalog", { value: JSON.stringify([entry("a")]), metadata: null });
    await operatorsOf(store, kv).needCatalog();
    expect(store.fleet.catalog()).toMatchObject({ version: 1 });
  });
});
