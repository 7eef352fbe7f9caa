import { describe, expect, it } from "vitest";

import {
  adminCall,
  catalogEntry,
  chat,
  dial,
  fetchEdge,
  join,
  scene,
  testEnv,
  unique,
} from "./fake-provider.ts";

interface ErrorBody {
  readonly error: { message: string; type: string; code: string; param: string | null };
}

async function errorOf(response: Response): Promise<ErrorBody["error"] & { status: number }> {
  const { error } = await response.json<ErrorBody>();
  return { status: response.status, ...error };
}

describe("API keys", () => {
  it.each([
    [{}],
    [{ authorization: "Bearer nonsense" }],
    [{ authorization: `Bearer pk_${"0".repeat(18)}_${"0".repeat(64)}` }],
  ])("are wanted: %j is 401", async (headers) => {
    const response = await fetchEdge("/v1/chat/completions", { method: "POST", headers, body: "{}" });
    expect(await errorOf(response)).toMatchObject({ status: 401, code: "invalid_api_key" });
  });

  it("are kept as hashes only, and end when they are deleted", async () => {
    const { id, key } = await adminCall<{ id: string; key: string }>("POST", "/keys", {
      owner: "acme",
      name: "n",
    });
    const stored = await testEnv.KEYS.get(`key:${id}`);
    expect(stored).not.toBeNull();
    expect(stored).not.toContain(key.slice(-64));
    const headers = { authorization: `Bearer ${key}` };
    expect((await fetchEdge("/v1/models", { headers })).status).toBe(200);
    const wrongSecret = { authorization: `Bearer ${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}` };
    expect((await fetchEdge("/v1/models", { headers: wrongSecret })).status).toBe(401);
    await adminCall("DELETE", `/keys/${id}`);
    expect((await fetchEdge("/v1/models", { headers })).status).toBe(401);
  });

  it("do not open the admin API, nor do provider tokens open the client API", async () => {
    const at = await scene();
    const asAdmin = await fetchEdge("/v1/admin/catalog", {
      headers: { authorization: `Bearer ${at.apiKey}` },
    });
    expect((await errorOf(asAdmin)).status).toBe(401);
    const asClient = await fetchEdge("/v1/models", { headers: { authorization: `Bearer ${at.token}` } });
    expect((await errorOf(asClient)).status).toBe(401);
  });
});

describe("a request body", () => {
  it.each([
    ["[]", null],
    ['{"messages":[{"role":"user","content":"x"}]}', "model"],
    ['{"model":"m","messages":[]}', "messages"],
    ['{"model":"m","messages":[{"role":"boss","content":"x"}]}', "messages[0].role"],
    ['{"model":"m","messages":[{"role":"user","content":7}]}', "messages[0].content"],
    ['{"model":"m","n":2,"messages":[{"role":"user","content":"x"}]}', "n"],
    ['{"model":"m","temperature":3,"messages":[{"role":"user","content":"x"}]}', "temperature"],
    [
      '{"model":"m","stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}',
      "stream_options",
    ],
    [
      '{"model":"m","tools":[{"type":"function","function":{"name":"a b"}}],"messages":[{"role":"user","content":"x"}]}',
      "tools[0].function.name",
    ],
  ])("that is wrong is 400 and names the field: %s", async (body, param) => {
    const at = await scene();
    const response = await chat(at, {}, { body });
    expect(await errorOf(response)).toMatchObject({ status: 400, code: "invalid_request", param });
  });

  it("that is not JSON is 400", async () => {
    expect(await errorOf(await chat(await scene(), {}, { body: "{" }))).toMatchObject({
      status: 400,
      param: null,
    });
  });

  it("above 16 MiB is 413, with a length and without", async () => {
    const at = await scene();
    const large = "x".repeat(16 * 1024 * 1024 + 1);
    expect(await errorOf(await chat(at, {}, { body: large }))).toMatchObject({
      status: 413,
      code: "request_too_large",
    });
    const chunk = new TextEncoder().encode("x".repeat(1024 * 1024));
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        if (sent > 64) controller.close();
        else controller.enqueue(chunk);
      },
    });
    expect(await errorOf(await chat(at, {}, { body: endless }))).toMatchObject({ status: 413 });
    expect(sent).toBeLessThan(64);
  });

  it("reaches the machine with every byte as it was, unknown fields included", async () => {
    const at = await scene();
    const machine = await join(at);
    const body = `{ "model":"${at.model}", "odd": [1.50, null],\n"messages":[{"role":"user","content":"é \\u00e9 🚲"}]}`;
    const pending = chat(at, {}, { body });
    const request = await machine.next("inference_request");
    expect(request["body"]).toEqual(JSON.parse(body));
    machine.accept(request);
    machine.bytes(request["stream"], '{"id":"x"}');
    machine.complete(request);
    const response = await pending;
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual({ id: "x" });
  });
});

describe("models", () => {
  it("are listed with their aliases, and found by ids with slashes", async () => {
    const id = `${unique("org")}/model`;
    const alias = unique("alias");
    const entries = await adminCall<object[]>("GET", "/catalog");
    await adminCall("PUT", "/catalog", [...entries, catalogEntry(id, { aliases: [alias] })]);
    const at = await scene();
    const headers = { authorization: `Bearer ${at.apiKey}` };
    const list = await (await fetchEdge("/v1/models", { headers })).json<{ data: { id: string }[] }>();
    expect(list.data.map((model) => model.id)).toEqual(expect.arrayContaining([id, alias, at.model]));
    expect(await (await fetchEdge(`/v1/models/${id}`, { headers })).json()).toMatchObject({
      id,
      context_length: 4096,
    });
    expect(await errorOf(await fetchEdge("/v1/models/none", { headers }))).toMatchObject({
      status: 404,
      code: "model_not_found",
    });
  });

  it("[C5] that are not in the catalog are 404, those without a machine 503", async () => {
    const at = await scene();
    expect(await errorOf(await chat(at, { model: "none" }))).toMatchObject({
      status: 404,
      code: "model_not_found",
    });
    const response = await chat(at);
    expect(response.headers.get("retry-after")).toBe("10");
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "model_unavailable" });
  });

  it.each([
    [[{ id: "bad id", context_length: 1, size_gb: 1, min_ram_gb: 1 }], "[0].id"],
    [[catalogEntry("a"), catalogEntry("b", { size_gb: -1 })], "[1].size_gb"],
    [[catalogEntry("a"), catalogEntry("b", { aliases: ["a"] })], "[1].aliases"],
    [[catalogEntry("a", { colour: "red" })], "[0]"],
  ])("go into the catalog all or none: %j", async (entries, param) => {
    const before = await adminCall("GET", "/catalog");
    const response = await fetchEdge("/v1/admin/catalog", {
      method: "PUT",
      headers: { authorization: "Bearer admin-token-of-the-tests" },
      body: JSON.stringify(entries),
    });
    expect(await errorOf(response)).toMatchObject({ status: 400, param });
    expect(await adminCall("GET", "/catalog")).toEqual(before);
  });
});

it("echoes a sane request id and makes its own instead of another", async () => {
  const sane = await fetchEdge("/nowhere", { headers: { "x-request-id": "trace-7" } });
  expect(sane.headers.get("x-request-id")).toBe("trace-7");
  expect((await errorOf(sane)).status).toBe(404);
  const health = await fetchEdge("/health", { headers: { "x-request-id": "trace-8" } });
  expect(health.headers.get("x-request-id")).toBe("trace-8");
  const odd = await fetchEdge("/nowhere", { headers: { "x-request-id": "a b" } });
  expect(odd.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
});

describe("a dial", () => {
  it.each([
    ["without an upgrade", { upgrade: "" }, "machine=mac-1&pool=POOL", 426, "upgrade_required"],
    [
      "with another protocol",
      { "sec-websocket-protocol": "v9" },
      "machine=mac-1&pool=POOL",
      400,
      "unsupported_protocol",
    ],
    [
      "with an unknown token",
      { authorization: "Bearer x" },
      "machine=mac-1&pool=POOL",
      401,
      "invalid_provider_token",
    ],
    ["with a bad machine id", {}, "machine=A&pool=POOL", 400, "invalid_request"],
    ["to an unknown pool", {}, "machine=mac-1&pool=none", 404, "model_not_found"],
    ["of a new machine that names no pool", {}, "machine=mac-new", 404, "model_not_found"],
  ])("%s is refused", async (_, headers, query, status, code) => {
    const at = await scene();
    const response = await dial(at.token, query.replace("POOL", at.model), headers);
    expect(await errorOf(response)).toMatchObject({ status, code });
  });

  it("is slowed down after 30 within a minute", async () => {
    const at = await scene();
    const machine = unique("mac");
    for (let i = 0; i < 30; i++) {
      expect((await dial(at.token, `machine=${machine}&pool=${at.model}`)).status).toBe(101);
    }
    const response = await dial(at.token, `machine=${machine}&pool=${at.model}`);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await errorOf(response)).toMatchObject({ status: 429, code: "slow_down" });
  });
});
