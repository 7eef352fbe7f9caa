import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import { AUDIT_CHANGES_KEPT, AUDIT_DROPPED_TOGETHER, AUDIT_REFUSALS_KEPT } from "../../core/limits.ts";
import { SqlAuditStore } from "../../durable-objects/storage/audit-store.ts";
import { SqlFleetStore } from "../../durable-objects/storage/fleet-store.ts";
import { join } from "./fake-provider.ts";
import {
  ADMIN,
  adminCall,
  callAdmin,
  catalogEntry,
  errorOf,
  fetchEdge,
  fleet,
  newestChange,
  newKey,
  newToken,
  pin,
  readChanges,
  rowsOf,
  scene,
  setFlag,
  testEnv,
  unique,
  type ChangePage,
} from "./scene.ts";

const rowCount = async (): Promise<unknown> =>
  (await rowsOf(fleet(), "SELECT COUNT(*) AS n FROM audit"))[0]?.["n"];

describe("the log of changes", () => {
  it("says who changed what, from where and when, and what it was before", async () => {
    await setFlag("queue_max", "32");
    const before = Date.now();
    const response = await fetchEdge("/v1/admin/flags/queue_max", {
      method: "PUT",
      headers: {
        authorization: `Bearer ${ADMIN}`,
        "x-request-id": "ticket-17",
        "cf-connecting-ip": "2001:db8::17",
      },
      body: '{"value":"64"}',
    });
    expect(response.status).toBe(200);
    const change = await newestChange();
    expect(change).toEqual({
      id: expect.any(Number),
      at: expect.any(Number),
      request_id: "ticket-17",
      token_id: null,
      token_name: "ADMIN_TOKEN",
      address: "2001:db8::17",
      method: "PUT",
      path: "/v1/admin/flags/queue_max",
      what: "set the flag queue_max",
      outcome: "done",
      status: 200,
      code: null,
      before: { value: "32" },
      after: { value: "64" },
    });
    expect(change?.at).toBeGreaterThanOrEqual(before);
    await setFlag("queue_max", "64");
    expect(await newestChange()).toMatchObject({ outcome: "done", before: null, after: null });
  });

  it("has the request id of each answer, and takes no address that is none", async () => {
    const response = await fetchEdge("/v1/admin/flags/queue_max", {
      method: "PUT",
      headers: { authorization: `Bearer ${ADMIN}`, "cf-connecting-ip": "<b>here</b>" },
      body: '{"value":"32"}',
    });
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    expect(await newestChange()).toMatchObject({
      request_id: response.headers.get("x-request-id"),
      address: null,
    });
  });

  it("tells of the catalog which fields of which model are other than before", async () => {
    const id = unique("org/model");
    await adminCall("PUT", `/catalog/${id}`, catalogEntry(id));
    expect(await newestChange()).toMatchObject({
      what: `put ${id} into the catalog`,
      before: null,
      after: { id, floor: 0, context_length: 4096 },
    });
    await adminCall("PUT", `/catalog/${id}`, catalogEntry(id, { floor: 1, aliases: ["other"] }));
    expect(await newestChange()).toMatchObject({
      before: { floor: 0, aliases: [] },
      after: { floor: 1, aliases: ["other"] },
    });
    const others = (await adminCall<{ id: string }[]>("GET", "/catalog")).filter((entry) => entry.id !== id);
    const added = unique("model");
    await adminCall("PUT", "/catalog?force=true", [...others, catalogEntry(added)]);
    expect(await newestChange()).toMatchObject({
      path: "/v1/admin/catalog?force=true",
      what: "replace the catalog",
      before: null,
      after: { added: [added], removed: [id] },
    });
    await adminCall("DELETE", `/catalog/${added}`);
    expect(await newestChange()).toMatchObject({
      what: `take ${added} out of the catalog`,
      before: { id: added },
      after: null,
    });
  });

  it("tells of machines what an order has changed", async () => {
    await setFlag("assignment_gate", "on");
    const at = await scene();
    const machine = await join(at);
    const { machineId } = machine;
    await pin(machineId, at);
    expect(await newestChange()).toMatchObject({
      what: `pin the machine ${machineId}`,
      before: { assigned_model: null, pinned: false },
      after: { assigned_model: at.model, pinned: true },
    });
    await adminCall("POST", `/machines/${machineId}/unpin`);
    expect(await newestChange()).toMatchObject({ before: { pinned: true }, after: { pinned: false } });
    await adminCall("POST", `/machines/${machineId}/cordon`);
    expect(await newestChange()).toMatchObject({ before: { cordoned: false }, after: { cordoned: true } });
    await adminCall("POST", `/machines/${machineId}/quarantine`);
    expect(await newestChange()).toMatchObject({
      what: `quarantine the machine ${machineId}`,
      before: { assigned_model: at.model, quarantined: false },
      after: { assigned_model: null, quarantined: true },
    });
    machine.close();
    await setFlag("assignment_gate", "off");
  });

  it("tells of keys and tokens whose they are, and never has a secret", async () => {
    const { id, key } = await newKey("acme");
    expect(await newestChange()).toMatchObject({
      what: "make an API key",
      after: { id, owner: "acme", name: "test", priority: "normal" },
    });
    await adminCall("PATCH", `/keys/${id}`, { priority: "low" });
    expect(await newestChange()).toMatchObject({
      what: `change the API key ${id}`,
      before: { priority: "normal" },
      after: { priority: "low" },
    });
    await adminCall("DELETE", `/keys/${id}`);
    expect(await newestChange()).toMatchObject({
      what: `revoke the API key ${id}`,
      before: { owner: "acme", name: "test" },
      after: null,
    });
    const { id: tokenId, token } = await newToken("acme");
    await adminCall("DELETE", `/provider-tokens/${tokenId}`);
    expect(await newestChange()).toMatchObject({ what: `revoke the provider token ${tokenId}` });

    // Whoever puts a whole secret where its id, or a name, belongs.
    expect((await callAdmin("DELETE", `/keys/${key}`)).status).toBe(404);
    expect(await newestChange()).toMatchObject({ path: `/v1/admin/keys/pk_${id}_...`, outcome: "refused" });
    const named = unique("model");
    await adminCall("PUT", `/catalog/${named}`, catalogEntry(named, { aliases: [token] }));
    // Whatever stands before it, as text or as the rest of an escape.
    await adminCall("PUT", `/catalog/${named}`, catalogEntry(named, { aliases: [`old_${token}`] }));
    await callAdmin("PUT", `/catalog?force=%22${key}`, []);
    await callAdmin("DELETE", `/admin-tokens/${ADMIN}`);
    await callAdmin("PUT", `/catalog?force=${ADMIN}`, []);
    const text = JSON.stringify(await rowsOf(fleet(), "SELECT * FROM audit"));
    expect(text).toContain(`pt_${tokenId}_...`);
    for (const secret of [key, token]) expect(text).not.toContain(secret.slice(25));
    expect(text).not.toContain(ADMIN);
  });

  it.each([
    ["PUT", "/flags/queue_max", { value: "many" }, "invalid_request"],
    ["PUT", "/flags/no_such_flag", { value: "1" }, "not_found"],
    ["POST", "/machines/nobody/release", undefined, "not_found"],
    ["POST", "/machines/nobody/pin", {}, "invalid_request"],
    ["DELETE", "/catalog/no-such-model", undefined, "model_not_found"],
  ] as const)("has what was refused: %s %s", async (method, path, body, code) => {
    expect((await callAdmin(method, path, body)).status).toBeGreaterThanOrEqual(400);
    expect(await newestChange()).toMatchObject({
      path: `/v1/admin${path}`,
      outcome: "refused",
      code,
      before: null,
      after: null,
    });
  });

  it("has no row of what changes nothing, nor of those who have shown no token", async () => {
    const before = await rowCount();
    await adminCall("POST", "/placement/simulate", {});
    await adminCall("GET", "/flags");
    const unknown = await fetchEdge("/v1/admin/flags/queue_max", { method: "PUT", body: '{"value":"1"}' });
    expect(unknown.status).toBe(401);
    expect(await rowCount()).toBe(before);
  });

  it("sets no alarm: a fleet that sleeps goes on sleeping", async () => {
    await runInDurableObject(fleet(), (_, { storage }) => storage.deleteAlarm());
    await newKey("acme");
    expect(await runInDurableObject(fleet(), (_, { storage }) => storage.getAlarm())).toBeNull();
  });
});

describe("a change that the log cannot take", () => {
  it("is not made", async () => {
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await setFlag("queue_max", "32");
    await rowsOf(fleet(), "ALTER TABLE audit RENAME TO hidden");
    try {
      const response = await callAdmin("PUT", "/flags/queue_max", { value: "64" });
      expect(response.headers.get("retry-after")).toBe("10");
      expect(await errorOf(response)).toMatchObject({
        status: 503,
        code: "try_again",
        message: expect.stringContaining("nothing was changed"),
      });
    } finally {
      await rowsOf(fleet(), "ALTER TABLE hidden RENAME TO audit");
      vi.restoreAllMocks();
    }
    expect(await adminCall("GET", "/flags/queue_max")).toMatchObject({ value: "32" });
  });

  it("is answered all the same if only its outcome cannot be written, and the row says that nobody knows", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
    await rowsOf(
      fleet(),
      "CREATE TRIGGER full BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END",
    );
    try {
      expect(await setFlag("queue_max", "33")).toMatchObject({ value: "33" });
      expect(logged).toHaveBeenCalledWith(
        expect.objectContaining({ event: "change_without_outcome", status: 200 }),
      );
    } finally {
      await rowsOf(fleet(), "DROP TRIGGER full");
      vi.restoreAllMocks();
    }
    expect(await newestChange()).toMatchObject({
      what: "set the flag queue_max",
      outcome: "unknown",
      status: null,
      before: null,
    });
  });
});

describe("what somebody writes to KV by hand", () => {
  /** As each tick does. */
  const lookAtKv = () => adminCall("GET", "/catalog");

  it("is in the log once it is in force, and once", async () => {
    await setFlag("queue_wait_ms", "6000");
    await testEnv.FLAGS.put("queue_wait_ms", "5999");
    await lookAtKv();
    await lookAtKv();
    expect((await readChanges("?about=5999")).changes).toEqual([
      expect.objectContaining({
        method: "KV",
        what: "set the flag queue_wait_ms, in KV by hand",
        token_name: null,
        outcome: "done",
        before: { value: "6000" },
        after: { value: "5999" },
      }),
    ]);
  });

  it("is in the log with the models that are other than before", async () => {
    const id = unique("model");
    const entries = await adminCall<object[]>("GET", "/catalog");
    await testEnv.FLAGS.put("catalog", JSON.stringify([...entries, catalogEntry(id)]));
    await lookAtKv();
    expect(await newestChange()).toMatchObject({
      what: "replace the catalog, in KV by hand",
      outcome: "done",
      after: { added: [id] },
    });
    await adminCall("PUT", "/catalog?force=true", entries);
  });

  it("is in the log as refused if it makes no sense", async () => {
    await testEnv.FLAGS.put("queue_wait_ms", "ages");
    await lookAtKv();
    expect((await readChanges("?about=ages")).changes).toEqual([
      expect.objectContaining({ method: "KV", outcome: "refused", after: { value: "ages" } }),
    ]);
    await testEnv.FLAGS.delete("queue_wait_ms");
  });
});

describe("the log is read", () => {
  it("by the page, from a time on, and by what is in a row", async () => {
    const ids: number[] = [];
    const mark = unique("owner");
    for (let n = 0; n < 5; n += 1) {
      await newKey(mark);
      ids.unshift((await newestChange())?.id ?? 0);
    }
    const seen: number[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const at: string = cursor === "" ? "" : `&cursor=${cursor}`;
      const page: ChangePage = await readChanges(`?about=${mark.toUpperCase()}&limit=2${at}`);
      expect(page.changes.length).toBeLessThanOrEqual(2);
      seen.push(...page.changes.map(({ id }) => id));
      cursor = page.next_cursor;
    }
    expect(seen).toEqual(ids);
    const at = (await readChanges(`?about=${mark}&limit=1`)).changes[0]?.at ?? 0;
    expect((await readChanges(`?about=${mark}&since=${at + 1}`)).changes).toEqual([]);
    expect((await readChanges(`?about=${mark}&since=${at}`)).changes.length).toBeGreaterThan(0);
  });

  it.each([
    ["cursor", "?cursor=nonsense"],
    ["cursor", "?cursor=0"],
    ["limit", "?limit=0"],
    ["limit", "?limit=501"],
    ["since", "?since=yesterday"],
    ["until", "?until=3"],
  ])("and says what is wrong with %s: %s", async (param, query) => {
    expect(await errorOf(await callAdmin("GET", `/audit${query}`))).toMatchObject({
      status: 400,
      code: "invalid_request",
      param,
    });
  });
});

describe("the log is bounded", () => {
  /** The storage of a fleet that nobody else uses, with a full log in which each row was refused or none. */
  const withFullLog = (
    status: number,
    rows: number,
    run: (store: SqlAuditStore, sql: SqlStorage) => void,
  ): Promise<void> =>
    runInDurableObject(testEnv.FLEET.getByName(unique("fleet")), (_, { storage }) => {
      // Its tables are made by the migrations.
      expect(new SqlFleetStore(storage).flags()).toEqual([]);
      storage.sql.exec(
        `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
         INSERT INTO audit (at, method, path, status) SELECT n, 'PUT', '/v1/admin/flags/old', ? FROM numbers`,
        rows,
        status,
      );
      run(new SqlAuditStore(storage.sql), storage.sql);
    });

  const call = {
    requestId: null,
    tokenId: null,
    tokenName: "anna",
    address: null,
    method: "PUT",
    path: "/v1/admin/flags/new",
  };
  const outcome = (status: number) => ({ status, code: null, before: null, after: null });
  const all = { since: 0, below: null, limit: 100_000, about: "" };

  it.each([
    ["done", 200, AUDIT_CHANGES_KEPT],
    ["refused", 403, AUDIT_REFUSALS_KEPT],
  ])("to so many rows of what was %s, the newest", async (_, status, kept) => {
    await withFullLog(status, kept, (store) => {
      let id = 0;
      for (let n = 1; n <= AUDIT_DROPPED_TOGETHER; n += 1) {
        id = store.asked(call, 1_000_000);
        store.answered(id, outcome(status));
      }
      const rows = store.rows(all);
      expect(rows).toHaveLength(kept);
      expect(rows[0]).toMatchObject({ id, tokenName: "anna" });
      expect(rows.at(-1)).toMatchObject({ at: AUDIT_DROPPED_TOGETHER + 1 });
    });
  });

  it("at the cost of reading few rows for each change", async () => {
    let rowsRead = 0;
    await withFullLog(200, AUDIT_CHANGES_KEPT, (_, sql) => {
      const counted = {
        exec(query: string, ...bindings: unknown[]) {
          const cursor = sql.exec(query, ...bindings);
          const rows = cursor.toArray();
          rowsRead += cursor.rowsRead;
          return { one: () => rows[0], toArray: () => rows };
        },
      };
      const store = new SqlAuditStore(counted as unknown as SqlStorage);
      for (let n = 1; n <= AUDIT_DROPPED_TOGETHER; n += 1) {
        store.answered(store.asked(call, 1_000_000), outcome(200));
      }
    });
    expect(rowsRead / AUDIT_DROPPED_TOGETHER).toBeLessThan(300);
  });

  it("and whoever is only ever refused makes it forget no change", async () => {
    await withFullLog(200, 10, (store) => {
      // The log has ten rows before them.
      for (let n = 0; n < AUDIT_REFUSALS_KEPT + AUDIT_DROPPED_TOGETHER - 10; n += 1) {
        store.answered(store.asked(call, 1_000_000 + n), outcome(403));
      }
      expect(store.rows({ ...all, about: "/old" })).toHaveLength(10);
      expect(store.rows(all)).toHaveLength(10 + AUDIT_REFUSALS_KEPT);
    });
  });
});
