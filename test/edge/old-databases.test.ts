import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";

import { SqlFleetStore } from "../../durable-objects/storage/fleet-store.ts";
import { FLEET_MIGRATIONS, migrate, POOL_MIGRATIONS } from "../../durable-objects/storage/migrations.ts";
import { PoolStore } from "../../durable-objects/storage/pool-store.ts";
import { machineIdSchema } from "../../protocol/ids.ts";
import { M3_MAX } from "../../protocol/sample-hardware.ts";
import { testEnv, unique } from "./scene.ts";

const MAC = machineIdSchema.parse("mac-1");

/** The tables as some version left them: after its statements, and no later ones. */
function versions(statements: readonly string[], since: string): (readonly string[])[] {
  const first = statements.findIndex((statement) => statement.includes(since));
  return statements.slice(first).map((_, more) => statements.slice(0, first + more + 1));
}

/** A database that knows nothing but these statements. */
async function onDisk(
  statements: readonly string[],
  use: (storage: DurableObjectStorage) => void,
): Promise<void> {
  await runInDurableObject(testEnv.FLEET.getByName(unique("old")), async (_, { storage }) => {
    await storage.deleteAll();
    storage.transactionSync(() => migrate(storage.sql, statements));
    use(storage);
  });
}

describe("a database that an earlier version wrote", () => {
  it("of the fleet keeps its machines, of which nothing is said that was not known", async () => {
    for (const statements of versions(FLEET_MIGRATIONS, "CREATE TABLE machines")) {
      await onDisk(statements, (storage) => {
        storage.sql.exec(
          `INSERT INTO machines (machine_id, owner, public_key, version, session_id, hardware, models, pools,
             first_registered_at, registered_at) VALUES (?, 'o', 'k', '0.6.0', 's', ?, '["a"]', '["a"]', 1, 2)`,
          MAC,
          JSON.stringify(M3_MAX),
        );
        const store = new SqlFleetStore(storage);
        const [machine] = store.machines();
        expect(machine).toMatchObject({
          machineId: MAC,
          models: [{ id: "a", sizeBytes: 0 }],
          firstRegisteredAt: 1,
          registeredAt: 2,
          isQuarantined: false,
          cordonedAt: null,
          uncordonedAt: null,
          goneAt: null,
          leftAt: null,
          tokenId: null,
        });
        if (machine === undefined) return;
        const changed = {
          ...machine,
          cordonedAt: 3,
          uncordonedAt: 4,
          goneAt: 5,
          leftAt: 6,
          isQuarantined: true,
          tokenId: "t",
        };
        store.saveMachine(changed);
        expect(new SqlFleetStore(storage).machines()).toEqual([changed]);
      });
    }
  });

  it("of a pool keeps its speeds, and has heard of no cordon", async () => {
    for (const statements of versions(POOL_MIGRATIONS, "CREATE TABLE speeds")) {
      await onDisk(statements, (storage) => {
        storage.sql.exec(`INSERT INTO speeds VALUES (?, '{"prefillTps":1,"decodeTps":[2]}')`, MAC);
        const store = new PoolStore(storage);
        expect(store.ledger().speeds()).toMatchObject([{ machineId: MAC, speed: { decodeTps: [2] } }]);
        expect([...store.cordons.all()]).toEqual([]);
        store.cordons.put(MAC, 7);
        expect([...new PoolStore(storage).cordons.all()]).toEqual([[MAC, 7]]);
        store.cordons.remove(MAC);
        expect([...store.cordons.all()]).toEqual([]);
      });
    }
  });

  it("of a pool tells what its machines had answered, of which it is not kept for whom", async () => {
    for (const statements of versions(POOL_MIGRATIONS, "CREATE TABLE machine_work")) {
      await onDisk(statements, (storage) => {
        storage.sql.exec(
          `INSERT INTO machine_work
             (machine_id, day_at, requests, prompt_tokens, completion_tokens, cached_tokens)
           VALUES (?, 7, 1, 2, 3, 4)`,
          MAC,
        );
        const row = { requests: 1, promptTokens: 2, completionTokens: 3, cachedTokens: 4 };
        const { work } = new PoolStore(storage);
        const told = { machineId: MAC, owner: "o", dayAt: 7, ...row };
        expect(work.of(MAC, "o", 0)).toEqual([told]);
        work.add([told], 7);
        const doubled = { requests: 2, promptTokens: 4, completionTokens: 6, cachedTokens: 8 };
        expect(work.of(MAC, "o", 0)).toEqual([{ ...told, ...doubled }]);
        expect(work.of(MAC, "another", 0)).toEqual([]);
      });
    }
  });
});
