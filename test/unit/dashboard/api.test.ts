import { afterEach, expect, it, vi } from "vitest";

import type { ApiError } from "../../../dashboard/api-error.js";
import { Api } from "../../../dashboard/api.js";

/** What the page sends to change something, and what it makes of an answer that is none. */

afterEach(() => {
  vi.unstubAllGlobals();
});

/** A coordinator that gives one answer, and the requests that it got. */
function coordinator(answer: () => Response | Error, token = "secret") {
  const requests: {
    method: string;
    path: string;
    token: string | null;
    over: string | null;
    body: string;
  }[] = [];
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    const request = new Request(`http://edge${path}`, init);
    requests.push({
      method: request.method,
      path,
      token: request.headers.get("authorization"),
      over: request.headers.get("if-match"),
      body: await request.text(),
    });
    const given = answer();
    if (given instanceof Error) throw given;
    return given;
  });
  return { api: new Api(token), requests };
}

const refusalOf = (asked: Promise<unknown>): Promise<ApiError> =>
  asked.then(
    () => Promise.reject(new Error("was not refused")),
    (error: ApiError) => error,
  );

it("sends each change as the admin API wants it, with the token", async () => {
  const { api, requests } = coordinator(() => Response.json({ epoch: 7 }));
  await api.setFlag("queue_max", "64");
  await api.pin("mac/1", "a");
  await api.order("mac-1", "release");
  await api.removeMachine("mac-1");
  await api.putModel("new", { size_gb: 1 }, null);
  await api.putModel("org/a", { size_gb: 1 }, '"tag"');
  await api.removeModel("org/a", false, '"tag"');
  await api.removeModel("b", true, null);
  await api.makeKey({ owner: "acme", name: "web", priority: "low" });
  await api.makeProviderToken({ owner: "acme", name: "office" });
  await api.makeAdminToken({ name: "grafana", scope: "read" });
  await api.changeKey("31ce/2", { tokens_per_minute: null });
  await api.revoke("keys", "31ce/2");
  await api.revoke("provider-tokens", "31ce");
  await api.revoke("admin-tokens", "31ce");
  await api.simulate({ max_loads_per_tick: 8, demand: {} });
  expect(requests).toEqual(
    [
      { method: "PUT", path: "/v1/admin/flags/queue_max", body: '{"value":"64"}' },
      { method: "POST", path: "/v1/admin/machines/mac%2F1/pin", body: '{"model_id":"a"}' },
      { method: "POST", path: "/v1/admin/machines/mac-1/release", body: "" },
      { method: "DELETE", path: "/v1/admin/machines/mac-1", body: "" },
      { method: "PUT", path: "/v1/admin/catalog/new", body: '{"size_gb":1}' },
      { method: "PUT", path: "/v1/admin/catalog/org%2Fa", body: '{"size_gb":1}', over: '"tag"' },
      { method: "DELETE", path: "/v1/admin/catalog/org%2Fa", body: "", over: '"tag"' },
      { method: "DELETE", path: "/v1/admin/catalog/b?force=true", body: "" },
      {
        method: "POST",
        path: "/v1/admin/keys",
        body: '{"owner":"acme","name":"web","priority":"low"}',
      },
      { method: "POST", path: "/v1/admin/provider-tokens", body: '{"owner":"acme","name":"office"}' },
      { method: "POST", path: "/v1/admin/admin-tokens", body: '{"name":"grafana","scope":"read"}' },
      { method: "PATCH", path: "/v1/admin/keys/31ce%2F2", body: '{"tokens_per_minute":null}' },
      { method: "DELETE", path: "/v1/admin/keys/31ce%2F2", body: "" },
      { method: "DELETE", path: "/v1/admin/provider-tokens/31ce", body: "" },
      { method: "DELETE", path: "/v1/admin/admin-tokens/31ce", body: "" },
      { method: "POST", path: "/v1/admin/placement/simulate", body: '{"max_loads_per_tick":8,"demand":{}}' },
    ].map((request) => ({ over: null, ...request, token: "Bearer secret" })),
  );
});

it("reads a model with the tag by which it is changed, if there is one", async () => {
  const { api } = coordinator(() => Response.json({ id: "a" }, { headers: { etag: '"tag"' } }));
  expect(await api.model("a")).toEqual({ entry: { id: "a" }, tag: '"tag"' });
  const without = coordinator(() => Response.json({ id: "a" }));
  expect(await without.api.model("a")).toEqual({ entry: { id: "a" }, tag: null });
});

it("reads keys and tokens by the page", async () => {
  const { api, requests } = coordinator(() => Response.json({}));
  await api.keys(null);
  await api.keys("a/b");
  await api.providerTokens("c");
  await api.adminTokens("d");
  await api.changes("", null);
  await api.changes("mac 1", "7");
  expect(requests.map(({ path }) => path)).toEqual([
    "/v1/admin/keys",
    "/v1/admin/keys?cursor=a%2Fb",
    "/v1/admin/provider-tokens?cursor=c",
    "/v1/admin/admin-tokens?cursor=d",
    "/v1/admin/audit?limit=50",
    "/v1/admin/audit?limit=50&about=mac+1&cursor=7",
  ]);
});

it("knows when nobody can say what came of a change", async () => {
  const silent = coordinator(() => new TypeError("network"));
  expect(await refusalOf(silent.api.revoke("keys", "a"))).toMatchObject({ isUnanswered: true });
  const broken = coordinator(() => new Response("{"));
  expect(await refusalOf(broken.api.revoke("keys", "a"))).toMatchObject({ isUnanswered: true });
  const refused = coordinator(() => new Response("{}", { status: 404 }));
  expect(await refusalOf(refused.api.revoke("keys", "a"))).toMatchObject({ isUnanswered: false });
});

it("keeps what a refusal says: its words, its code and the field", async () => {
  const error = { message: "must be on or off", code: "invalid_request", param: "value" };
  const { api } = coordinator(() => Response.json({ error }, { status: 400 }));
  expect(await refusalOf(api.setFlag("placement", "x"))).toMatchObject({ ...error, isLocked: false });
});

it.each([
  [401, true],
  [403, true],
  [404, false],
  [502, false],
])("takes %i for the token's fault: %s", async (status, isLocked) => {
  const { api } = coordinator(() => new Response("<html>a proxy</html>", { status }));
  expect(await refusalOf(api.flags())).toMatchObject({ isLocked, code: null });
});

it("opens the page also with a token that may only read: its refusal is about what was asked", async () => {
  const error = { message: "may only read", code: "read_only_token", param: null };
  const { api } = coordinator(() => Response.json({ error }, { status: 403 }));
  expect(await refusalOf(api.setFlag("placement", "off"))).toMatchObject({ ...error, isLocked: false });
});

it.each([
  ["pa_1", "not known to this coordinator"],
  ["pk_1", "This is an API key"],
  ["pt_1", "This is a provider token"],
  ["x", "not the admin token"],
])("says what was sent in place of an admin token: %s", async (token, said) => {
  const { api } = coordinator(() => new Response("{}", { status: 401 }), token);
  expect((await refusalOf(api.whoami())).message).toContain(said);
});

it("does not claim that a change without an answer was not made", async () => {
  const { api } = coordinator(() => new TypeError("network"));
  expect((await refusalOf(api.pin("mac-1", "a"))).message).toBe(
    "no answer: it may have been done all the same",
  );
  expect((await refusalOf(api.flags())).message).toBe("the coordinator does not answer");
  expect((await refusalOf(api.simulate({ demand: {} }))).message).toBe("the coordinator does not answer");
});

it.each([
  ["pk_1", "This is an API key, and not the admin token of this coordinator."],
  ["pt_1", "This is a provider token, and not the admin token of this coordinator."],
  ["secret", "This is not the admin token of this coordinator."],
])("says what was sent for the admin token: %s", async (token, message) => {
  const { api } = coordinator(() => new Response("{}", { status: 401 }), token);
  expect(await refusalOf(api.flags())).toMatchObject({ message, isLocked: true });
});

it.each(["pässwörd €", "a\nb"])(
  "knows without asking that %j, which no header carries, is no token",
  async (token) => {
    const { api, requests } = coordinator(() => new Error("not asked"), token);
    const error = await refusalOf(api.flags());
    expect(error).toMatchObject({
      message: "This is not the admin token of this coordinator.",
      isLocked: true,
    });
    expect(requests).toEqual([]);
  },
);
