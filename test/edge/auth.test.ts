import { describe, expect, it, vi } from "vitest";

import { app } from "../../worker/app.ts";
import { join } from "./fake-provider.ts";
import {
  ADMIN,
  adminCall,
  callAdmin,
  chat,
  errorOf,
  fetchEdge,
  fleet,
  newAdmin,
  newKey,
  newToken,
  rowsOf,
  scene,
  stopClock,
  testEnv,
} from "./scene.ts";

const unknownKey = `pk_${"0".repeat(18)}_${"0".repeat(64)}`;

describe("an API key", () => {
  it.each([
    ["none", {}],
    ["nonsense", { authorization: "Bearer nonsense" }],
    ["an unknown one", { authorization: `Bearer ${unknownKey}` }],
    ["another scheme", { authorization: `Basic ${unknownKey}` }],
    ["the admin token", { authorization: `Bearer ${ADMIN}` }],
  ])("is wanted everywhere: %s is 401", async (_, headers) => {
    for (const [method, path] of [
      ["POST", "/v1/chat/completions"],
      ["POST", "/v1/embeddings"],
      ["GET", "/v1/models"],
      ["GET", "/v1/models/org/any"],
    ] as const) {
      const response = await fetchEdge(path, {
        method,
        headers,
        ...(method === "POST" ? { body: "{" } : {}),
      });
      expect(response.headers.get("x-request-id")).toMatch(/^req_/);
      expect(await errorOf(response)).toMatchObject({
        status: 401,
        code: "invalid_api_key",
        type: "invalid_request_error",
      });
    }
  });

  it("opens the API, however the scheme is spelled", async () => {
    const { key } = await newKey("acme");
    for (const scheme of ["Bearer", "bearer", "BEARER"]) {
      const response = await fetchEdge("/v1/models", { headers: { authorization: `${scheme} ${key}` } });
      expect(response.status).toBe(200);
    }
  });

  it("does not open it with a wrong secret behind a right id, whether the right one was seen or not", async () => {
    const { key } = await newKey("acme");
    const wrong = `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;
    const statusOf = async (secret: string): Promise<number> =>
      (await fetchEdge("/v1/models", { headers: { authorization: `Bearer ${secret}` } })).status;
    expect(await statusOf(wrong)).toBe(401);
    expect(await statusOf(key)).toBe(200);
    expect(await statusOf(wrong)).toBe(401);
    expect(await statusOf(key)).toBe(200);
  });

  it("ends when it is deleted, and can be deleted once", async () => {
    const { id, key } = await newKey("acme");
    const headers = { authorization: `Bearer ${key}` };
    expect((await fetchEdge("/v1/models", { headers })).status).toBe(200);
    expect(await adminCall("DELETE", `/keys/${id}`)).toEqual({ id, deleted: true });
    expect((await fetchEdge("/v1/models", { headers })).status).toBe(401);
    expect(await errorOf(await callAdmin("DELETE", `/keys/${id}`))).toMatchObject({
      status: 404,
      code: "not_found",
    });
  });
});

describe("a secret in the wrong place is called by its name, whether it is valid or not", () => {
  const WRONG = `${"0".repeat(18)}_${"0".repeat(64)}`;
  const explain = "/v1/providers/explain?machine=mac-1";

  it.each([
    ["/v1/models", `pt_${WRONG}`, "this is a provider token, and an API key is wanted"],
    ["/v1/models", ADMIN, "this is the admin token, and an API key is wanted"],
    ["/v1/models", `pk_${WRONG}`, "this API key is not known"],
    ["/v1/admin/flags", `pk_${WRONG}`, "wants `Authorization: Bearer <admin token>`; this is an API key"],
    [
      "/v1/admin/flags",
      `pt_${WRONG}`,
      "wants `Authorization: Bearer <admin token>`; this is a provider token",
    ],
    ["/v1/admin/flags", "nonsense", "what was sent is not it"],
    ["/metrics", `pk_${WRONG}`, "this is an API key"],
    [explain, `pk_${WRONG}`, "this is an API key, and a provider token is wanted"],
    [explain, ADMIN, "this is the admin token, and a provider token is wanted"],
    [explain, `pt_${WRONG}`, "this provider token is not known"],
    ["/v1/models", "sk-proj-1", "this is not one of this coordinator's API keys, which begin with pk_"],
    [
      "/v1/models",
      `pk_${WRONG.slice(0, -20)}`,
      "this API key has 66 characters instead of 86; copy it again",
    ],
    ["/v1/models", `pk_${WRONG.slice(0, -1)}O`, "this API key has a character that none has; copy it again"],
    [explain, "nonsense", "this is not one of this coordinator's provider tokens, which begin with pt_"],
    [explain, `pt_${WRONG}0`, "this provider token has 87 characters instead of 86; copy it again"],
  ])("%s, sent %s", async (path, secret, message) => {
    const response = await fetchEdge(path, { headers: { authorization: `Bearer ${secret}` } });
    const error = await errorOf(response);
    const code = path === explain ? "invalid_provider_token" : "invalid_api_key";
    expect(error).toMatchObject({ status: 401, code, message: expect.stringContaining(message) });
    expect(error.message).not.toContain(secret);
  });

  it("also a valid one", async () => {
    const at = await scene();
    for (const [path, secret, message] of [
      ["/v1/models", at.token, "this is a provider token"],
      ["/v1/admin/flags", at.apiKey, "this is an API key"],
      [explain, at.apiKey, "this is an API key"],
    ] as const) {
      const response = await fetchEdge(path, { headers: { authorization: `Bearer ${secret}` } });
      expect(await errorOf(response)).toMatchObject({
        status: 401,
        message: expect.stringContaining(message),
      });
    }
  });
});

it("provider tokens are listed with the id that revokes them, and without their secret or any key", async () => {
  const { id, token } = await newToken("acme");
  const { id: keyId } = await newKey("acme");
  const rows: { id: string }[] = [];
  let text = "";
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? "" : `?cursor=${cursor}`;
    const page: { provider_tokens: { id: string }[]; next_cursor: string | null } = await adminCall(
      "GET",
      `/provider-tokens${query}`,
    );
    rows.push(...page.provider_tokens);
    text += JSON.stringify(page);
    cursor = page.next_cursor;
  } while (cursor !== null);
  expect(rows.find((row) => row.id === id)).toEqual({
    id,
    owner: "acme",
    name: expect.any(String),
    created_at: expect.any(Number),
  });
  expect(text).not.toContain(token.split("_")[2]);
  expect(text).not.toContain(keyId);
  await adminCall("DELETE", `/provider-tokens/${id}`);
});

it("a provider token that never was leaves nothing behind when it is revoked", async () => {
  const revoked = () => rowsOf(fleet(), "SELECT token_id FROM revoked_tokens");
  const { id } = await newToken("acme");
  await adminCall("DELETE", `/provider-tokens/${id}`);
  const before = await revoked();
  expect(before).toContainEqual({ token_id: id });
  const unknown = await callAdmin("DELETE", `/provider-tokens/${"0".repeat(18)}`);
  expect(await errorOf(unknown)).toMatchObject({ status: 404, code: "not_found" });
  expect(await revoked()).toEqual(before);
});

it("a provider token that somebody has deleted from KV by hand is kept from dialing all the same", async () => {
  const at = await scene();
  const { closed } = await join(at);
  await testEnv.KEYS.delete(`token:${at.tokenId}`);
  expect((await callAdmin("DELETE", `/provider-tokens/${at.tokenId}`)).status).toBe(404);
  expect(await closed).toMatchObject({ code: 4005 });
});

describe("pages of keys", () => {
  const page = (query: string): Promise<{ keys: { id: string }[]; next_cursor: string | null }> =>
    adminCall("GET", `/keys${query}`);

  it("follow one another by a cursor that goes into the address as it is", async () => {
    const record = JSON.parse((await testEnv.KEYS.get(`key:${(await newKey("acme")).id}`)) ?? "") as object;
    const ids = Array.from({ length: 101 }, (_, index) => index.toString(16).padStart(18, "0"));
    for (const id of ids) await testEnv.KEYS.put(`key:${id}`, JSON.stringify({ ...record, id }));
    const first = await page("?cursor=");
    expect(first.keys).toHaveLength(100);
    expect(first.next_cursor).toMatch(/^[\w-]+$/);
    const seen = [...first.keys];
    for (let cursor = first.next_cursor; cursor !== null;) {
      const next = await page(`?cursor=${cursor}`);
      seen.push(...next.keys);
      cursor = next.next_cursor;
    }
    expect(seen.map(({ id }) => id)).toEqual(expect.arrayContaining(ids));
    expect(new Set(seen.map(({ id }) => id)).size).toBe(seen.length);
    // Neither does it stand for a page of another list.
    const foreign = await callAdmin("GET", `/provider-tokens?cursor=${first.next_cursor}`);
    expect(await errorOf(foreign)).toMatchObject({ status: 400, param: "cursor" });
    for (const id of ids) await testEnv.KEYS.delete(`key:${id}`);
  });

  it.each(["garbage", "!!!", "é", "x", "%00", "a+b/c=", "x".repeat(3000)])(
    "are refused to a cursor that is none: %s",
    async (cursor) => {
      for (const path of ["/keys", "/provider-tokens"]) {
        const response = await callAdmin("GET", `${path}?cursor=${encodeURIComponent(cursor)}`);
        const error = await errorOf(response);
        expect(error).toMatchObject({ status: 400, code: "invalid_request", param: "cursor" });
      }
    },
  );

  it.each([
    ["refuses the cursor", "KV LIST failed: 400 Bad Request", "key:abcde", 400],
    ["is asked too often", "KV LIST failed: 429 Too Many Requests", "key:abcde", 503],
    ["is down", "KV LIST failed: 503 Service Unavailable", "key:abcde", 503],
    ["refuses something, and there is no cursor", "KV LIST failed: 400 Bad Request", "", 503],
  ])("are no fault of the cursor's unless KV says so: KV %s", async (_, message, cursor, status) => {
    const logged = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    const request = new Request(`http://edge/v1/admin/keys?cursor=${btoa(cursor)}`, {
      headers: { authorization: `Bearer ${ADMIN}` },
    });
    const list = () => Promise.reject(new Error(message));
    const response = await app.fetch(request, { ...testEnv, KEYS: { list } as unknown as KVNamespace });
    expect(response.status).toBe(status);
    logged.mockRestore();
  });
});

describe("whoever shows a secret is told what is wrong with the store of secrets, and not that all is broken:", () => {
  const makers = {
    key: async () => ({ secret: (await newKey("acme")).key, path: "/v1/models" }),
    token: async () => ({
      secret: (await newToken("acme")).token,
      path: "/v1/providers/explain?machine=mac-1",
    }),
    admin: async () => {
      const { token } = await newAdmin("admin");
      return { secret: token, path: "/v1/admin/flags" };
    },
  };

  it.each([
    ["key", "invalid_api_key", "this API key"],
    ["token", "invalid_provider_token", "this provider token"],
    ["admin", "invalid_api_key", "this admin token"],
  ] as const)("%s", async (kind, code, named) => {
    const { secret, path } = await makers[kind]();
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    const headers = { authorization: `Bearer ${secret}` };
    const down = () => Promise.reject(new Error("KV GET failed: 503 Service Unavailable"));
    const KEYS = { get: down } as unknown as KVNamespace;
    const response = await app.fetch(new Request(`http://edge${path}`, { headers }), { ...testEnv, KEYS });
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "try_again" });
    expect(warned).toHaveBeenLastCalledWith(expect.objectContaining({ event: "keys_unreachable" }));
    const name = `${kind}:${secret.split("_")[1]}`;
    const record = await testEnv.KEYS.get<object>(name, "json");
    const hashed = { ...record, sha256: "5be0cd19" };
    for (const kept of ["{", '{"name":"of a later version"}', JSON.stringify(hashed)]) {
      await testEnv.KEYS.put(name, kept);
      expect(await errorOf(await fetchEdge(path, { headers }))).toMatchObject({
        status: 401,
        code,
        message: expect.stringContaining(`the record of ${named} is not understood`),
      });
      expect(warned).toHaveBeenLastCalledWith(expect.objectContaining({ event: "key_not_understood" }));
    }
    warned.mockRestore();
  });
});

it("a key whose record is not understood hides no other, cannot be changed, and can be revoked", async () => {
  const { id } = await newKey("acme");
  const other = await newKey("acme");
  const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  await testEnv.KEYS.put(`key:${id}`, "{");
  const { keys } = await adminCall<{ keys: { id: string }[] }>("GET", "/keys");
  expect(keys.map((key) => key.id)).toContain(other.id);
  expect(await errorOf(await callAdmin("PATCH", `/keys/${id}`, { priority: "low" }))).toMatchObject({
    status: 400,
    message: expect.stringContaining("not understood"),
  });
  expect(await adminCall("DELETE", `/keys/${id}`)).toEqual({ id, deleted: true });
  warned.mockRestore();
});

it.each(["PATCH", "PUT"])("a %s of a key that changes nothing names what can be changed", async (method) => {
  const { id } = await newKey("acme");
  const error = await errorOf(await callAdmin(method, `/keys/${id}`, {}));
  expect(error).toMatchObject({ status: 400, code: "invalid_request", param: null });
  for (const field of ["requests_per_minute", "tokens_per_minute", "priority"]) {
    expect(error.message).toContain(field);
  }
});

it("an id that none could have is 404 like an unknown one, however long", async () => {
  for (const id of ["x", "x".repeat(600)]) {
    for (const [method, path] of [
      ["PATCH", "keys"],
      ["DELETE", "keys"],
      ["DELETE", "provider-tokens"],
    ] as const) {
      const response = await callAdmin(method, `/${path}/${id}`, method === "PATCH" ? {} : undefined);
      expect(await errorOf(response)).toMatchObject({ status: 404, code: "not_found" });
    }
  }
});

it("KV holds the hashes of keys and tokens and no secret", async () => {
  const secrets = [(await newKey("acme")).key, (await newToken("acme")).token];
  const { keys } = await testEnv.KEYS.list();
  expect(keys.length).toBeGreaterThanOrEqual(2);
  let stored = "";
  for (const { name, metadata } of keys) {
    stored += `${name} ${JSON.stringify(metadata)} ${await testEnv.KEYS.get(name)}\n`;
  }
  for (const secret of secrets) {
    const [, id = "", random = ""] = secret.split("_");
    expect(stored).toContain(id);
    expect(random).toMatch(/^[0-9a-f]{64}$/);
    expect(stored).not.toContain(random);
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret));
    expect(stored).toContain(
      Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join(""),
    );
  }
});

describe("the admin API", () => {
  const routes = [
    ["GET", "/catalog"],
    ["PUT", "/catalog"],
    ["PUT", "/catalog/org/model"],
    ["DELETE", "/catalog/org/model"],
    ["DELETE", "/machines/mac-1"],
    ["POST", "/keys"],
    ["DELETE", "/keys/x"],
    ["GET", "/provider-tokens"],
    ["POST", "/provider-tokens"],
    ["DELETE", "/provider-tokens/x"],
    ["GET", "/usage"],
    ["GET", "/nowhere"],
  ] as const;

  it.each(routes)("is closed to all without its token: %s %s", async (method, path) => {
    const { key } = await newKey("acme");
    for (const authorization of [undefined, "Bearer wrong", `Bearer ${key}`, `Bearer ${ADMIN}x`]) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      const response = await fetchEdge(`/v1/admin${path}`, { method, headers });
      expect(await errorOf(response)).toMatchObject({ status: 401, code: "invalid_api_key" });
    }
  });

  it.each(routes)("is closed to everybody while no token is set: %s %s", async (method, path) => {
    for (const authorization of ["Bearer ", "Bearer undefined", `Bearer ${ADMIN}`]) {
      const request = new Request(`http://edge/v1/admin${path}`, { method, headers: { authorization } });
      const response = await app.fetch(request, { ...testEnv, ADMIN_TOKEN: "" });
      expect(await errorOf(response)).toMatchObject({
        status: 403,
        code: "forbidden",
        type: "permission_error",
      });
    }
  });

  it.each([
    [{ name: "n" }, "owner"],
    [{ owner: "", name: "n" }, "owner"],
    [{ owner: "acme", name: " blank" }, "name"],
    [{ owner: "acme", name: "é" }, "name"],
    [{ owner: "acme", name: "x".repeat(129) }, "name"],
    [{ owner: "acme", name: 7 }, "name"],
    [{ owner: "acme", name: "n", limit: 5 }, "limit"],
  ])("makes no key or token for %j", async (body, param) => {
    for (const path of ["/keys", "/provider-tokens"]) {
      expect(await errorOf(await callAdmin("POST", path, body))).toMatchObject({ status: 400, param });
    }
  });

  it.each(["keys", "provider-tokens", "admin-tokens"])(
    "takes no secret for a label, which whoever may only read could read: %s",
    async (path) => {
      const fields = path === "admin-tokens" ? { scope: "read" } : { owner: "acme" };
      const { token } = await newToken("acme");
      for (const secret of [ADMIN, `old ${ADMIN}`, token, `x${token}`]) {
        for (const param of path === "admin-tokens" ? ["name"] : ["name", "owner"]) {
          const body = { ...fields, name: "n", [param]: secret };
          const error = await errorOf(await callAdmin("POST", `/${path}`, body));
          expect(error).toMatchObject({ status: 400, code: "invalid_request", param });
          expect(error.message).not.toContain(secret);
        }
      }
      const listed = JSON.stringify(await adminCall("GET", `/${path}`));
      const log = JSON.stringify(await adminCall("GET", "/audit"));
      for (const text of [listed, log]) {
        expect(text).not.toContain(ADMIN);
        expect(text).not.toContain(token.slice(25));
      }
    },
  );

  it("says which characters an owner may have", async () => {
    const response = await callAdmin("POST", "/keys", { owner: "Käthe", name: "laptop" });
    expect((await errorOf(response)).message).toContain("ASCII");
  });
});

it("a key that is deleted in the middle of a request does not end it", async () => {
  const at = await scene();
  const machine = await join(at);
  const pending = chat(at);
  const request = await machine.next("inference_request");
  await adminCall("DELETE", `/keys/${at.keyId}`);
  machine.answer(request, "{}");
  expect((await pending).status).toBe(200);
});

it("a key that is in use while it is deleted ends with that, too", async () => {
  const { id, key } = await newKey("acme");
  const use = (): Promise<Response> =>
    Promise.resolve(
      app.fetch(
        new Request("http://edge/v1/models", { headers: { authorization: `Bearer ${key}` } }),
        testEnv,
      ),
    );
  const statuses: number[] = [];
  const KEYS = {
    get: (name: string) => testEnv.KEYS.get(name),
    async delete(name: string) {
      statuses.push((await use()).status);
      await testEnv.KEYS.delete(name);
    },
  } as unknown as KVNamespace;
  const request = new Request(`http://edge/v1/admin/keys/${id}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${ADMIN}` },
  });
  expect((await app.fetch(request, { ...testEnv, KEYS })).status).toBe(200);
  statuses.push((await use()).status);
  expect(statuses).toEqual([200, 401]);
});

it("a key is trusted for 10 s by whoever has read it, and no longer once KV has lost it", async () => {
  const { id, key } = await newKey("acme");
  const call = () => fetchEdge("/v1/models", { headers: { authorization: `Bearer ${key}` } });
  await stopClock();
  expect((await call()).status).toBe(200);
  // As another part of the network sees it, where it was not deleted.
  await testEnv.KEYS.delete(`key:${id}`);
  vi.setSystemTime(Date.now() + 9_999);
  expect((await call()).status).toBe(200);
  vi.setSystemTime(Date.now() + 1);
  expect((await call()).status).toBe(401);
});
