import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import { SqlFleetStore } from "../../durable-objects/storage/fleet-store.ts";
import { connect, join, registerMessage } from "./fake-provider.ts";
import {
  ADMIN,
  adminCall,
  callAdmin,
  catalogEntry,
  chat,
  errorOf,
  fetchEdge,
  fleet,
  isShownAfterTick,
  pin,
  resetObject,
  rowsOf,
  scene,
  setFlag,
  testEnv,
  tickFleet,
  unique,
  until,
} from "./scene.ts";

/** An entry without its id, as it is put to an address that has it. */
const fields = (more: object = {}): object => ({ context_length: 4096, size_gb: 1, min_ram_gb: 2, ...more });
const ids = async (): Promise<string[]> =>
  (await adminCall<{ id: string }[]>("GET", "/catalog")).map(({ id }) => id);

function callCatalog(method: string, ifMatch: string | null, body?: unknown, path = ""): Promise<Response> {
  return fetchEdge(`/v1/admin/catalog${path}`, {
    method,
    headers: { authorization: `Bearer ${ADMIN}`, ...(ifMatch === null ? {} : { "if-match": ifMatch }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

describe("a model of the catalog", () => {
  it("that the fleet's disk does not take is not in the catalog", async () => {
    const id = unique("model");
    const error = vi.spyOn(console, "error").mockImplementation(() => undefined);
    await rowsOf(
      fleet(),
      "CREATE TRIGGER full BEFORE INSERT ON catalog BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    );
    expect((await callAdmin("PUT", `/catalog/${id}`, fields())).status).toBe(500);
    await rowsOf(fleet(), "DROP TRIGGER full");
    error.mockRestore();
    expect(await ids()).not.toContain(id);
    expect((await callAdmin("PUT", `/catalog/${id}`, fields())).status).toBe(201);
  });

  it("is put in, read, replaced and taken out by its id, slashes and all", async () => {
    const id = `${unique("org")}/model:q4`;
    for (const path of [`/catalog/${id}`, `/catalog/${encodeURIComponent(id)}`]) {
      const made = await callAdmin("PUT", path, fields({ aliases: [`${id}-alias`] }));
      expect(made.status).toBe(201);
      const entry = await made.json();
      expect(entry).toMatchObject({ id, size_gb: 1, max_concurrency: 4, aliases: [`${id}-alias`] });
      expect(await adminCall("GET", path)).toEqual(entry);
      const replaced = await callAdmin("PUT", path, { id, ...fields({ size_gb: 7 }) });
      expect(replaced.status).toBe(200);
      expect(await replaced.json()).toMatchObject({ id, size_gb: 7, aliases: [] });
      expect(await ids()).toContain(id);
      expect(await adminCall("DELETE", path)).toEqual({ id, deleted: true });
      expect(await ids()).not.toContain(id);
      for (const method of ["GET", "DELETE"]) {
        expect(await errorOf(await callAdmin(method, path))).toMatchObject({
          status: 404,
          code: "model_not_found",
        });
      }
    }
  });

  it("is in force at once for clients and for machines that have it", async () => {
    const at = await scene();
    const later = unique("later");
    const machine = await connect(at);
    machine.send(registerMessage(machine.machineId, [at.model, later]));
    await machine.next("registered");
    await adminCall("PUT", `/catalog/${later}`, fields());
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model, later] });
    expect((await chat(at, { model: later })).status).toBe(503);
    await adminCall("DELETE", `/catalog/${later}`);
    expect((await chat(at, { model: later })).status).toBe(404);
    expect(await machine.next("registered")).toMatchObject({ pools: [at.model] });
  });

  it("is named by its id and no alias", async () => {
    const alias = unique("alias");
    const { model } = await scene({ aliases: [alias] });
    for (const method of ["GET", "DELETE"]) {
      const error = await errorOf(await callAdmin(method, `/catalog/${alias}`));
      expect(error).toMatchObject({ status: 404, code: "model_not_found" });
      expect(error.message).toContain(model);
    }
    expect(await errorOf(await callAdmin("PUT", `/catalog/${alias}`, fields()))).toMatchObject({
      status: 400,
      param: "id",
    });
  });

  it.each([
    ["another id", fields({ id: "other" }), "id"],
    ["a bad size", fields({ size_gb: -1 }), "size_gb"],
    ["a floor above its cap", fields({ floor: 3, cap: 2 }), "floor"],
    ["a field missing", { context_length: 1, size_gb: 1 }, "min_ram_gb"],
    ["an unknown field", fields({ colour: "red" }), "colour"],
    [
      "a field misspelled, which is missing then",
      { contxt_length: 1, size_gb: 1, min_ram_gb: 2 },
      "contxt_length",
    ],
    ["a list", [fields()], null],
    ["nothing in it", null, null],
  ])("is refused with %s, and nothing changes", async (_, body, param) => {
    const before = await ids();
    const response = await callAdmin("PUT", `/catalog/${unique("model")}`, body);
    expect(await errorOf(response)).toMatchObject({ status: 400, code: "invalid_request", param });
    expect(await ids()).toEqual(before);
  });

  it("is refused with a malformed id, and with a name that is taken", async () => {
    const { model } = await scene();
    expect(await errorOf(await callAdmin("PUT", "/catalog/bad%20id", fields()))).toMatchObject({
      status: 400,
      param: "id",
    });
    const taken = await callAdmin("PUT", `/catalog/${unique("model")}`, fields({ aliases: [model] }));
    expect(await errorOf(taken)).toMatchObject({ status: 400, param: "aliases" });
  });

  it("is changed only over the entry that was read, if the operator says so", async () => {
    const path = `/${unique("org")}/model`;
    const call = (method: string, ifMatch: string | null, body?: object) =>
      callCatalog(method, ifMatch, body, path);
    expect(await errorOf(await call("PUT", "*", fields()))).toMatchObject({
      status: 412,
      code: "precondition_failed",
    });
    const made = await call("PUT", null, fields());
    expect(made.status).toBe(201);
    const tag = made.headers.get("etag") ?? "";
    expect(tag).toMatch(/^"[^"]+"$/);
    // Another model is another matter.
    await adminCall("PUT", `/catalog/${unique("other")}`, fields());
    const read = await call("GET", null);
    expect(read.headers.get("etag")).toBe(tag);

    const mine = await call("PUT", `"0", W/${tag}`, fields({ floor: 1 }));
    expect(mine.status).toBe(200);
    for (const theirs of [await call("PUT", tag, fields({ floor: 2 })), await call("DELETE", tag)]) {
      expect(await errorOf(theirs)).toMatchObject({ status: 412, code: "precondition_failed" });
    }
    expect((await call("PUT", "nonsense", fields())).status).toBe(412);
    const newest = await call("GET", null);
    expect(await newest.json()).toMatchObject({ floor: 1 });
    expect(newest.headers.get("etag")).toBe(mine.headers.get("etag"));
    expect((await call("PUT", "*", fields({ floor: 3 }))).status).toBe(200);
    expect((await call("PUT", null, fields())).headers.get("etag")).toBe(tag);
    expect((await call("DELETE", tag)).status).toBe(200);
    expect(await errorOf(await call("DELETE", tag))).toMatchObject({ status: 404, code: "model_not_found" });
  });

  it("is added beside others that are added at the same moment", async () => {
    const before = await ids();
    const added = Array.from({ length: 8 }, () => unique("model"));
    const answers = await Promise.all(added.map((id) => callAdmin("PUT", `/catalog/${id}`, fields())));
    expect(answers.map(({ status }) => status)).toEqual(added.map(() => 201));
    expect((await ids()).toSorted()).toEqual([...before, ...added].toSorted());
    // The last to be written is the newest, whoever came last.
    const shown = JSON.parse((await testEnv.FLAGS.get("catalog")) ?? "") as { id: string }[];
    expect(shown.map(({ id }) => id)).toEqual(await ids());
    await Promise.all(added.map((id) => adminCall("DELETE", `/catalog/${id}`)));
    expect(await ids()).toEqual(before);
  });

  it("is there after a reset, and joins what somebody has written to KV by hand meanwhile", async () => {
    const [made, byHand, last] = [unique("model"), unique("model"), unique("model")];
    await adminCall("PUT", `/catalog/${made}`, fields());
    const entries = await adminCall<object[]>("GET", "/catalog");
    await testEnv.FLAGS.put("catalog", JSON.stringify([...entries, catalogEntry(byHand)]));
    await resetObject(fleet());
    await adminCall("PUT", `/catalog/${last}`, fields());
    expect(await ids()).toEqual(expect.arrayContaining([made, byHand, last]));
  });
});

it("a floor above a cap is not taken from KV either, but is kept if an earlier version took it", async () => {
  const [made, byHand, old] = [unique("model"), unique("model"), unique("model")];
  await adminCall("PUT", `/catalog/${made}`, fields());
  const entries = await adminCall<object[]>("GET", "/catalog");
  const json = (id: string): string =>
    JSON.stringify([...entries, { ...catalogEntry(id), floor: 3, cap: 2 }]);
  await testEnv.FLAGS.put("catalog", json(byHand));
  expect(await adminCall("GET", "/catalog")).toEqual(entries);
  await runInDurableObject(fleet(), (_, state) => {
    const store = new SqlFleetStore(state.storage);
    store.saveCatalog((store.catalog()?.version ?? 0) + 1, json(old));
  });
  await resetObject(fleet());
  expect(await adminCall("GET", `/catalog/${old}`)).toMatchObject({ floor: 3, cap: 2 });
  // It stands in nobody's way, and is put right by whoever changes it next.
  await adminCall("PUT", `/catalog/${made}`, fields({ floor: 1 }));
  const change = await callAdmin("PUT", `/catalog/${old}`, fields({ floor: 3, cap: 2, priority: 2 }));
  expect(await errorOf(change)).toMatchObject({ status: 400, param: "floor" });
  await adminCall("PUT", `/catalog/${old}`, fields({ floor: 3, cap: 3 }));
});

it("[H17] the newest catalog is shown in KV after a reset that came before it could be", async () => {
  await join(await scene());
  const before = await testEnv.FLAGS.getWithMetadata("catalog");
  const made = unique("model");
  await adminCall("PUT", `/catalog/${made}`, fields());
  const after = await testEnv.FLAGS.get("catalog");
  await testEnv.FLAGS.put("catalog", before.value ?? "", { metadata: before.metadata });
  await resetObject(fleet());
  await until(() => isShownAfterTick("catalog", after));
  expect(after).toContain(made);
  expect(await ids()).toContain(made);
});

describe("a model that machines are assigned to", () => {
  it("is taken out only by force, which releases them", async () => {
    await setFlag("assignment_gate", "on");
    const [gone, other] = [await scene(), await scene()];
    const machine = await connect(gone);
    machine.send(registerMessage(machine.machineId, [gone.model, other.model]));
    await machine.next("registered");
    await pin(machine.machineId, gone);
    const { epoch } = await machine.next("assign_model");
    const path = `/catalog/${gone.model}`;
    const rest = (await adminCall<{ id: string }[]>("GET", "/catalog")).filter(({ id }) => id !== gone.model);
    for (const refused of [await callAdmin("DELETE", path), await callAdmin("PUT", "/catalog", rest)]) {
      const error = await errorOf(refused);
      expect(error).toMatchObject({ status: 409, code: "force_required", type: "invalid_request_error" });
      expect(error.message).toContain(machine.machineId);
    }
    expect(await ids()).toContain(gone.model);
    expect(await adminCall("DELETE", `${path}?force=true`)).toEqual({ id: gone.model, deleted: true });
    const release = await machine.next("assign_model");
    expect(release).toMatchObject({ model_id: null, pools: [other.model] });
    expect(Number(release["epoch"])).toBeGreaterThan(Number(epoch));
    const details = await adminCall<object>("GET", `/machines/${machine.machineId}`);
    expect(details).toMatchObject({ managed: false, order: { reason: "its model has left the catalog" } });
    await setFlag("assignment_gate", "off");
  });
});

it("[H17] machines are released whose model somebody has taken out of the catalog in KV by hand", async () => {
  await setFlag("assignment_gate", "on");
  const [gone, other] = [await scene(), await scene()];
  const machine = await connect(gone);
  machine.send(registerMessage(machine.machineId, [gone.model, other.model]));
  await machine.next("registered");
  await pin(machine.machineId, gone);
  await machine.next("assign_model");
  const rest = (await adminCall<{ id: string }[]>("GET", "/catalog")).filter(({ id }) => id !== gone.model);
  await testEnv.FLAGS.put("catalog", JSON.stringify(rest));
  await until(async () => {
    await tickFleet();
    const { managed } = await adminCall<{ managed: boolean }>("GET", `/machines/${machine.machineId}`);
    return !managed;
  });
  let order = await machine.next("assign_model");
  // The pin may have been repeated meanwhile.
  while (order["model_id"] !== null) order = await machine.next("assign_model");
  expect(order).toMatchObject({ pools: [other.model], reason: "its model has left the catalog" });
  await setFlag("assignment_gate", "off");
});

describe("the whole catalog", () => {
  it("is emptied only by force", async () => {
    const at = await scene();
    const entries = await adminCall<object[]>("GET", "/catalog");
    const refused = await callAdmin("PUT", "/catalog", []);
    expect(await errorOf(refused)).toMatchObject({
      status: 409,
      code: "force_required",
      message: expect.stringContaining("?force=true"),
    });
    expect(await adminCall("GET", "/catalog")).toEqual(entries);
    expect(await errorOf(await callAdmin("PUT", "/catalog?force=1", []))).toMatchObject({
      status: 400,
      param: "force",
    });
    expect(await adminCall("PUT", "/catalog?force=true", [])).toEqual([]);
    expect((await chat(at)).status).toBe(404);
    expect(await adminCall("PUT", "/catalog", [])).toEqual([]);
    await adminCall("PUT", "/catalog", entries);
  });

  it("is put only over the version that was read, if the operator says so", async () => {
    await scene();
    const read = await callCatalog("GET", null);
    const tag = read.headers.get("etag") ?? "";
    expect(tag).toMatch(/^"\d+"$/);
    const entries = await read.json<object[]>();
    const mine = [...entries, catalogEntry(unique("mine"))];
    const first = await callCatalog("PUT", tag, mine);
    expect(first.status).toBe(200);
    const theirs = await callCatalog("PUT", tag, [...entries, catalogEntry(unique("theirs"))]);
    expect(await errorOf(theirs)).toMatchObject({ status: 412, code: "precondition_failed" });
    expect((await ids()).length).toBe(mine.length);
    const newest = first.headers.get("etag") ?? "";
    expect((await callCatalog("GET", null)).headers.get("etag")).toBe(newest);
    expect((await callCatalog("PUT", '"nonsense"', entries)).status).toBe(412);
    // A proxy that compresses weakens the tag.
    expect((await callCatalog("PUT", `"0", W/${newest}`, mine)).status).toBe(200);
    expect((await callCatalog("PUT", "*", entries)).status).toBe(200);
  });
});

it("machines of other models do not notice that one is added", async () => {
  const at = await scene();
  const machine = await join(at);
  await adminCall("PUT", `/catalog/${unique("model")}`, fields());
  await machine.hasHeardAll(at);
  expect(machine.unread).toEqual([]);
});
