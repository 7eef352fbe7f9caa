import { describe, expect, it, vi } from "vitest";

import { app } from "../../worker/app.ts";
import {
  ADMIN,
  adminCall,
  callAdmin,
  callWith,
  errorOf,
  fleet,
  newAdmin,
  newestChange,
  rowsOf,
  scene,
  setFlag,
  testEnv,
  unique,
  withBrokenFleet,
} from "./scene.ts";

/** Named admin tokens: who has one, what it is good for, and how it ends. */

const whoIs = async (token: string): Promise<unknown> =>
  (await callWith(token, "GET", "/v1/admin/whoami")).json();

/** All routes of the operators' API, from the app itself: none can be forgotten here. */
const routes = app.routes
  .filter(({ method, path }) => path.startsWith("/v1/admin/") && method !== "ALL")
  .map(({ method, path }) => ({ method, path: path.replaceAll(/:\w+(\{[^}]*\})?/g, "x") }));
const changing = routes.filter(
  ({ method, path }) => method !== "GET" && path !== "/v1/admin/placement/simulate",
);

describe("a named admin token", () => {
  it("is made with a scope, listed without its secret, and says who it is", async () => {
    const name = unique("anna");
    const { id, token } = await newAdmin("admin", name);
    expect(token).toMatch(new RegExp(`^pa_${id}_[0-9a-f]{64}$`));
    const listed = await adminCall<{ admin_tokens: { id: string }[]; next_cursor: null }>(
      "GET",
      "/admin-tokens",
    );
    expect(listed.admin_tokens.find((row) => row.id === id)).toEqual({
      id,
      name,
      scope: "admin",
      created_at: expect.any(Number),
    });
    expect(listed.next_cursor).toBeNull();
    expect(JSON.stringify(listed)).not.toContain(token.slice(22));
    expect(await whoIs(token)).toEqual({ token_id: id, token_name: name, scope: "admin" });
    expect(await whoIs(ADMIN)).toEqual({ token_id: null, token_name: "ADMIN_TOKEN", scope: "admin" });
  });

  it("of the scope admin changes things, and the log of changes has its name", async () => {
    const name = unique("ben");
    const { id, token } = await newAdmin("admin", name);
    expect(await newestChange()).toMatchObject({
      what: "make an admin token",
      before: null,
      after: { id, name, scope: "admin" },
    });
    const response = await callWith(token, "PUT", "/v1/admin/flags/queue_max", { value: "77" });
    expect(response.status).toBe(200);
    expect(await newestChange()).toMatchObject({ token_id: id, token_name: name, outcome: "done" });
    await setFlag("queue_max", "32");
  });

  it("is kept as a hash", async () => {
    const { id, token } = await newAdmin("read");
    const stored = (await testEnv.KEYS.get(`admin:${id}`)) ?? "";
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
    const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    expect(stored).toContain(hex);
    expect(stored).not.toContain(token.slice(22));
  });

  it.each([
    [{ name: "n" }, "scope"],
    [{ name: "n", scope: "root" }, "scope"],
    [{ scope: "read" }, "name"],
    [{ name: " blank", scope: "read" }, "name"],
    [{ name: "n", scope: "read", owner: "acme" }, "owner"],
  ])("is not made of %j", async (body, param) => {
    expect(await errorOf(await callAdmin("POST", "/admin-tokens", body))).toMatchObject({
      status: 400,
      param,
    });
  });

  it("is no key and no provider token, and is called by its name where those are wanted", async () => {
    const { token } = await newAdmin("admin");
    const at = await scene();
    for (const path of ["/v1/models", "/v1/providers/explain?machine=mac-1"]) {
      expect(await errorOf(await callWith(token, "GET", path))).toMatchObject({
        status: 401,
        message: expect.stringContaining("this is an admin token"),
      });
    }
    for (const secret of [at.apiKey, at.token]) {
      expect((await callWith(secret, "GET", "/v1/admin/whoami")).status).toBe(401);
    }
    const unknown = `pa_${"0".repeat(18)}_${"0".repeat(64)}`;
    expect(await errorOf(await callWith(unknown, "GET", "/v1/admin/whoami"))).toMatchObject({
      status: 401,
      code: "invalid_api_key",
      message: expect.stringContaining("not known"),
    });
  });

  it("opens nothing while no admin token is set", async () => {
    const { token } = await newAdmin("admin");
    const request = new Request("http://edge/v1/admin/flags", {
      headers: { authorization: `Bearer ${token}` },
    });
    const response = await app.fetch(request, { ...testEnv, ADMIN_TOKEN: "" });
    expect(await errorOf(response)).toMatchObject({ status: 403, code: "forbidden" });
  });
});

describe("a token that may only read", () => {
  it("knows the routes that it is about", () => {
    expect(routes.length).toBeGreaterThan(25);
    expect(changing).toContainEqual({ method: "POST", path: "/v1/admin/machines/x/pin" });
    expect(changing).toContainEqual({ method: "POST", path: "/v1/admin/admin-tokens" });
  });

  it("reads everything", async () => {
    const at = await scene();
    const { token } = await newAdmin("read");
    for (const path of [
      "/admin-tokens",
      "/audit",
      "/catalog",
      `/catalog/${at.model}`,
      "/demand",
      "/flags",
      "/flags/queue_max",
      "/keys",
      "/machines",
      "/placement",
      "/provider-tokens",
      "/usage",
      "/utilization",
      "/whoami",
    ]) {
      const response = await callWith(token, "GET", `/v1/admin${path}`);
      expect(`${path} ${response.status}`).toBe(`${path} 200`);
      await response.text();
    }
    expect((await callWith(token, "GET", "/v1/admin/machines/nobody")).status).toBe(404);
    expect((await callWith(token, "HEAD", "/v1/admin/flags")).status).toBe(200);
  });

  it("asks what the planner would do, and scrapes the metrics", async () => {
    const { token } = await newAdmin("read");
    expect((await callWith(token, "POST", "/v1/admin/placement/simulate", {})).status).toBe(200);
    const metrics = await callWith(token, "GET", "/metrics");
    expect(await metrics.text()).toContain("poolkeeper_build_info");
  });

  it.each(changing)("changes nothing: $method $path", async ({ method, path }) => {
    const name = unique("watcher");
    const { id, token } = await newAdmin("read", name);
    expect(await errorOf(await callWith(token, method, path, {}))).toEqual({
      status: 403,
      code: "read_only_token",
      type: "permission_error",
      param: null,
      message: expect.stringContaining(name),
    });
    expect(await newestChange()).toMatchObject({
      token_id: id,
      token_name: name,
      method,
      outcome: "refused",
      code: "read_only_token",
    });
  });

  it.each([
    "/v1/admin/placement/%73imulate",
    "/v1/admin/placement/simulate/",
    "/v1/admin//placement/simulate",
  ])("is not let through by an address that is written otherwise: %s", async (path) => {
    const { token } = await newAdmin("read");
    expect([200, 403]).toContain((await callWith(token, "POST", path, {})).status);
    expect((await callWith(token, "PURGE", path, {})).status).toBe(403);
  });

  it("is refused changes, and shown the metrics, also while the fleet does not answer", async () => {
    const { token } = await newAdmin("read");
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await rowsOf(fleet(), "ALTER TABLE audit RENAME TO gone");
    try {
      const refused = await callWith(token, "PUT", "/v1/admin/flags/queue_max", { value: "1" });
      expect(await errorOf(refused)).toMatchObject({ status: 403, code: "read_only_token" });
    } finally {
      await rowsOf(fleet(), "ALTER TABLE gone RENAME TO audit");
    }
    await withBrokenFleet(async () => {
      expect((await callWith(token, "GET", "/metrics")).status).toBe(200);
    });
    vi.restoreAllMocks();
  });

  it("is what a token with a scope of a later version counts as", async () => {
    const { id, token } = await newAdmin("admin");
    const record = await testEnv.KEYS.get<object>(`admin:${id}`, "json");
    await testEnv.KEYS.put(`admin:${id}`, JSON.stringify({ ...record, scope: "machines" }));
    expect(await whoIs(token)).toMatchObject({ scope: "read" });
  });
});

describe("an admin token that is revoked", () => {
  it("is gone, and can be revoked once", async () => {
    const name = unique("carla");
    const { id, token } = await newAdmin("admin", name);
    expect(await adminCall("DELETE", `/admin-tokens/${id}`)).toEqual({ id, deleted: true });
    expect(await newestChange()).toMatchObject({ what: `revoke the admin token ${id}`, before: { name } });
    expect((await callWith(token, "GET", "/v1/admin/flags")).status).toBe(401);
    expect(await errorOf(await callAdmin("DELETE", `/admin-tokens/${id}`))).toMatchObject({ status: 404 });
    expect(await errorOf(await callAdmin("DELETE", "/admin-tokens/x"))).toMatchObject({ status: 404 });
  });

  it("is in the fleet's list only if there was one", async () => {
    const revoked = () => rowsOf(fleet(), "SELECT token_id FROM revoked_admin_tokens");
    const { id } = await newAdmin("read");
    await adminCall("DELETE", `/admin-tokens/${id}`);
    const before = await revoked();
    expect(before).toContainEqual({ token_id: id });
    expect((await callAdmin("DELETE", `/admin-tokens/${"0".repeat(18)}`)).status).toBe(404);
    expect(await revoked()).toEqual(before);
  });

  it("can be one that this version does not understand", async () => {
    const { id } = await newAdmin("admin", unique("dora"));
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    for (const [kept, before] of [
      ["{", null],
      ['{"name":"dora"}', { name: "dora" }],
    ] as const) {
      await testEnv.KEYS.put(`admin:${id}`, kept);
      expect(await adminCall("DELETE", `/admin-tokens/${id}`)).toEqual({ id, deleted: true });
      expect(await newestChange()).toMatchObject({ before, after: null });
    }
    vi.restoreAllMocks();
  });

  it("changes nothing from that moment on, although KV still hands it out", async () => {
    await setFlag("queue_max", "32");
    const { id, token } = await newAdmin("admin");
    const record = (await testEnv.KEYS.get(`admin:${id}`)) ?? "";
    // It may end itself, too.
    expect((await callWith(token, "DELETE", `/v1/admin/admin-tokens/${id}`)).status).toBe(200);
    await testEnv.KEYS.put(`admin:${id}`, record);
    expect((await callWith(token, "GET", "/v1/admin/flags")).status).toBe(200);
    const before = await newestChange();
    const refused = await callWith(token, "PUT", "/v1/admin/flags/queue_max", { value: "64" });
    expect(await errorOf(refused)).toMatchObject({
      status: 401,
      code: "invalid_api_key",
      message: "this admin token was revoked",
    });
    expect(await newestChange()).toEqual(before);
    expect(await adminCall("GET", "/flags/queue_max")).toMatchObject({ value: "32" });
    await testEnv.KEYS.delete(`admin:${id}`);
  });

  it("locks nobody out who has the token of the Worker's secrets: it is in no list, and needs no store", async () => {
    const { token } = await newAdmin("admin");
    const { admin_tokens: rows } = await adminCall<{ admin_tokens: { id: string }[] }>(
      "GET",
      "/admin-tokens",
    );
    for (const { id } of rows) {
      expect((await callWith(token, "DELETE", `/v1/admin/admin-tokens/${id}`)).status).toBeLessThan(402);
    }
    expect((await callAdmin("GET", "/flags")).status).toBe(200);
    const down = () => Promise.reject(new Error("KV GET failed: 503"));
    const request = new Request("http://edge/v1/admin/flags", {
      headers: { authorization: `Bearer ${ADMIN}` },
    });
    const KEYS = { get: down, list: down } as unknown as KVNamespace;
    expect((await app.fetch(request, { ...testEnv, KEYS })).status).toBe(200);
  });
});
