import { describe, expect, it, vi } from "vitest";

import { CAPACITY_TTL_MS } from "../../core/limits.ts";
import { Fleet } from "../../durable-objects/fleet.ts";
import { catalogStore } from "../../worker/catalog.ts";
import { expectAnswer, join } from "./fake-provider.ts";
import {
  addToCatalog,
  advanceClock,
  adminCall,
  callAdmin,
  catalogEntry,
  chat,
  errorOf,
  fetchEdge,
  poolOf,
  scene,
  setFlag,
  stopClock,
  testEnv,
  unique,
} from "./scene.ts";

/** Of a pool in which nothing goes on. */
const IDLE = { free_slots: 0, context_length: null, queued: 0, ttft_p50_ms: null, loading: 0, eta_s: null };

describe("models", () => {
  it("are listed with their aliases, and found by ids with slashes", async () => {
    const id = `${unique("org")}/model:q4`;
    const alias = unique("alias");
    await addToCatalog(catalogEntry(id, { aliases: [alias], context_length: 8192 }));
    const at = await scene();
    const headers = { authorization: `Bearer ${at.apiKey}` };
    const list = await (
      await fetchEdge("/v1/models", { headers })
    ).json<{ object: string; data: object[] }>();
    const status = { ready: false, serving: 0, slots: 0, ...IDLE };
    const common = { object: "model", created: 0, owned_by: "poolkeeper", status };
    expect(list.object).toBe("list");
    expect(list.data).toEqual(
      expect.arrayContaining([
        { id, ...common, context_length: 8192, aliases: [alias] },
        { id: alias, ...common, context_length: 8192, alias_of: id },
        { id: at.model, ...common, context_length: 4096, aliases: [] },
      ]),
    );
    for (const path of [id, encodeURIComponent(id)]) {
      expect(await (await fetchEdge(`/v1/models/${path}`, { headers })).json()).toMatchObject({
        id,
        aliases: [alias],
      });
    }
    expect(await (await fetchEdge(`/v1/models/${alias}`, { headers })).json()).toMatchObject({
      id: alias,
      alias_of: id,
    });
    expect(await errorOf(await fetchEdge("/v1/models/none", { headers }))).toMatchObject({
      status: 404,
      code: "model_not_found",
      param: "model",
    });
  });

  it("say whether they are ready, under all their names, and are listed without it while the fleet is silent", async () => {
    await stopClock();
    const alias = unique("alias");
    const at = await scene({ aliases: [alias], max_concurrency: 3 });
    const statusOf = async (name: string) => {
      const headers = { authorization: `Bearer ${at.apiKey}` };
      const response = await fetchEdge(`/v1/models/${name}`, { headers });
      return (await response.json<{ status: object | null }>()).status;
    };
    await advanceClock(poolOf(at), CAPACITY_TTL_MS);
    expect(await statusOf(at.model)).toEqual({ ready: false, serving: 0, slots: 0, ...IDLE });
    const machine = await join(at);
    await advanceClock(poolOf(at), CAPACITY_TTL_MS);
    expect(await statusOf(alias)).toEqual({ ready: true, serving: 1, slots: 3, ...IDLE, free_slots: 3 });
    await expectAnswer(at, machine);
    await advanceClock(poolOf(at), CAPACITY_TTL_MS);
    expect(await statusOf(at.model)).toMatchObject({ ready: true, ttft_p50_ms: expect.any(Number) });
    const silent = vi.spyOn(Fleet.prototype, "capacity").mockImplementation(() => {
      throw new Error("silenced by the test");
    });
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await advanceClock(poolOf(at), 2 * CAPACITY_TTL_MS);
    expect(await statusOf(at.model)).toBeNull();
    // Nobody waits for it again within two seconds.
    expect(await statusOf(at.model)).toBeNull();
    expect(silent).toHaveBeenCalledOnce();
    expect(warned).toHaveBeenCalledWith(expect.objectContaining({ event: "fleet_unreachable" }));
    silent.mockRestore();
    warned.mockRestore();
  });

  it("that are asked for by an alias keep that name in the body and their own in the order", async () => {
    const alias = unique("alias");
    const at = await scene({ aliases: [alias] });
    const machine = await join(at);
    const pending = chat(at, { model: alias });
    const request = await machine.next("inference_request");
    expect(request).toMatchObject({ model_id: at.model, body: { model: alias } });
    machine.answer(request, JSON.stringify({ model: alias }));
    expect(await (await pending).json()).toEqual({ model: alias });
  });

  it("[C5] that are not in the catalog are 404, those without a machine 503", async () => {
    const at = await scene();
    expect(await errorOf(await chat(at, { model: "none" }))).toMatchObject({
      status: 404,
      code: "model_not_found",
    });
    const response = await chat(at);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(10);
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "model_unavailable" });
  });

  it.each([
    ["no list", {}, "catalog"],
    ["a bad id", [{ id: "bad id", context_length: 1, size_gb: 1, min_ram_gb: 1 }], "[0].id"],
    ["a bad size", [catalogEntry("a"), catalogEntry("b", { size_gb: -1 })], "[1].size_gb"],
    ["an alias that is taken", [catalogEntry("a"), catalogEntry("b", { aliases: ["a"] })], "[1].aliases"],
    ["an unknown field", [catalogEntry("a", { colour: "red" })], "[0].colour"],
  ])("go into the catalog all or none: %s", async (_, entries, param) => {
    await scene();
    const before = await adminCall("GET", "/catalog");
    expect(await errorOf(await callAdmin("PUT", "/catalog", entries))).toMatchObject({ status: 400, param });
    expect(await adminCall("GET", "/catalog")).toEqual(before);
  });
});

describe("elsewhere", () => {
  it.each([
    ["GET", "/"],
    ["POST", "/v1/chat"],
    ["GET", "/v1/admin"],
  ])("there is nothing: %s %s is 404 or closed", async (method, path) => {
    const response = await fetchEdge(path, { method });
    const { status, code } = await errorOf(response);
    expect([status, code]).toEqual(path === "/v1/admin" ? [401, "invalid_api_key"] : [404, "not_found"]);
  });

  it.each([
    ["GET", "/v1/chat/completions", "POST"],
    ["GET", "/v1/completions", "POST"],
    ["PUT", "/v1/responses", "GET, POST"],
    ["POST", "/v1/responses/resp_1", "GET, DELETE"],
    ["POST", "/v1/models", "GET"],
    ["DELETE", "/v1/models/some/model", "GET"],
    ["PATCH", "/health", "GET"],
  ])("a route does not take every method: %s %s is 405 and allows %s", async (method, path, allow) => {
    const response = await fetchEdge(path, { method, headers: { "x-request-id": "trace-9" } });
    expect(response.headers.get("allow")).toBe(allow);
    expect(response.headers.get("x-request-id")).toBe("trace-9");
    expect(await errorOf(response)).toMatchObject({
      status: 405,
      code: "method_not_allowed",
      type: "invalid_request_error",
    });
  });

  it("health and version are open to everybody", async () => {
    expect(await (await fetchEdge("/health")).json()).toEqual({ status: "ok" });
    expect(await (await fetchEdge("/version")).json()).toEqual({
      provider: { current: expect.stringMatching(/^\d+\.\d+\.\d+/), minimum: null },
      protocol: 1,
    });
  });

  it("no model is said not to exist while nobody knows the catalog", async () => {
    const at = await scene();
    vi.spyOn(catalogStore, "read").mockResolvedValue(null);
    vi.spyOn(Fleet.prototype, "catalog").mockResolvedValue(null);
    try {
      for (const response of [await chat(at), await callAdmin("GET", "/catalog")]) {
        expect(response.headers.get("retry-after")).toBe("10");
        expect(await errorOf(response)).toMatchObject({ status: 503, code: "try_again" });
      }
    } finally {
      vi.restoreAllMocks();
    }
  });

  it("the version names the lowest that is accepted, if an operator has set one", async () => {
    const minimum = async (): Promise<unknown> =>
      (await (await fetchEdge("/version")).json<{ provider: { minimum: unknown } }>()).provider.minimum;
    await setFlag("min_provider_version", "0.6.20");
    try {
      expect(await minimum()).toBe("0.6.20");
      // Written to KV by hand, where nobody checks it.
      await testEnv.FLAGS.put("min_provider_version", "none of them");
      expect(await minimum()).toBeNull();
    } finally {
      await setFlag("min_provider_version", "none");
    }
    expect(await minimum()).toBeNull();
  });

  it.each([
    ["trace-7", true],
    ["A.b:c_d-9", true],
    ["x".repeat(128), true],
    ["x".repeat(129), false],
    ["a b", false],
    ["-x", false],
  ])("a request id %j is echoed if it is a sane one: %j", async (id, isSane) => {
    for (const path of ["/health", "/nowhere", "/v1/models"]) {
      const response = await fetchEdge(path, { headers: { "x-request-id": id } });
      const echoed = response.headers.get("x-request-id") ?? "";
      expect([echoed === id, /^req_[0-9a-f]{32}$/.test(echoed)]).toEqual([isSane, !isSane]);
    }
  });
});
