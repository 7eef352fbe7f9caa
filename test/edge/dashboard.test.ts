import { describe, expect, it } from "vitest";

import { adminCall, callAdmin, errorOf, fetchEdge, scene } from "./scene.ts";

/** The operator's page: what it is made of, and that it is no way around the admin token. */

async function pageText(): Promise<string> {
  const response = await fetchEdge("/dashboard");
  expect(response.status).toBe(200);
  return response.text();
}

describe("GET /dashboard", () => {
  it("gives the page to everybody, since there is nothing of the fleet in it", async () => {
    const response = await fetchEdge("/dashboard");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(await response.text()).toContain("<title>Poolkeeper</title>");
  });

  it("lets the page run nothing but its own files and talk to nobody but its coordinator", async () => {
    for (const path of ["/dashboard", "/dashboard/main.js", "/dashboard/base.css", "/dashboard/icon.svg"]) {
      const { headers } = await fetchEdge(path);
      const policy = (headers.get("content-security-policy") ?? "").split("; ");
      expect(policy).toEqual(
        expect.arrayContaining([
          "default-src 'none'",
          "script-src 'self'",
          "style-src 'self'",
          "connect-src 'self'",
          "form-action 'none'",
          "base-uri 'none'",
          "frame-ancestors 'none'",
          "require-trusted-types-for 'script'",
        ]),
      );
      expect(policy.join()).not.toContain("unsafe");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("cache-control")).toBe("no-cache");
      expect(headers.get("access-control-allow-origin")).toBeNull();
    }
  });

  it("has no script, style or handler in its markup, and nothing from elsewhere", async () => {
    const page = await pageText();
    expect(page).not.toMatch(/<script(?![^>]* src="\/dashboard\/)/);
    expect(page).not.toMatch(/<style|\sstyle=|\son\w+=/);
    expect(page).not.toMatch(/(src|href)="(?!\/dashboard\/|#)/);
  });

  it("serves every file that the page and its scripts name, as what it is", async () => {
    const types = {
      js: "text/javascript; charset=utf-8",
      css: "text/css; charset=utf-8",
      svg: "image/svg+xml",
    };
    const seen = new Set<string>();
    const todo = [...(await pageText()).matchAll(/"\/dashboard\/([^"]+)"/g)].map(([, file]) => file ?? "");
    expect(todo).toEqual(expect.arrayContaining(["main.js", "base.css", "icon.svg"]));
    for (let file = todo.pop(); file !== undefined; file = todo.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      const response = await fetchEdge(`/dashboard/${file}`);
      expect([file, response.status]).toEqual([file, 200]);
      const [, kind = ""] = file.split(".");
      expect(response.headers.get("content-type")).toBe(types[kind as keyof typeof types]);
      const text = await response.text();
      expect(text.length).toBeGreaterThan(100);
      todo.push(...[...text.matchAll(/from "\.\/([^"]+)"/g)].map(([, imported]) => imported ?? ""));
    }
    expect(seen.size).toBeGreaterThan(15);
  });

  it("sends a file again only if it has changed", async () => {
    const { headers } = await fetchEdge("/dashboard/main.js");
    const again = await fetchEdge("/dashboard/main.js", {
      headers: { "if-none-match": headers.get("etag") ?? "" },
    });
    expect([again.status, await again.text()]).toEqual([304, ""]);
  });

  it("knows no other file, and no other method", async () => {
    for (const path of [
      "/dashboard/nope.js",
      "/dashboard/page.html",
      "/dashboard/__proto__",
      "/dashboard/a/b",
    ]) {
      expect((await fetchEdge(path)).status).toBe(404);
    }
    expect((await fetchEdge("/dashboard", { method: "POST" })).status).toBe(405);
  });
});

describe("what the page reads", () => {
  it.each([
    "utilization",
    "placement",
    "flags",
    "usage?days=1",
    "demand?days=1",
    "demand/fleet?days=1",
    "machines/studio-7f3a",
    "catalog/a",
    "keys",
    "provider-tokens?cursor=a",
  ])("is closed without the admin token: %s", async (path) => {
    expect((await fetchEdge(`/v1/admin/${path}`)).status).toBe(401);
    const wrong = { headers: { authorization: "Bearer not-the-admin-token" } };
    expect((await fetchEdge(`/v1/admin/${path}`, wrong)).status).toBe(401);
  });

  it("says of each flag what the page may offer", async () => {
    const { flags } = await adminCall<{ flags: { name: string; takes: unknown }[] }>("GET", "/flags");
    const takes = Object.fromEntries(flags.map((flag) => [flag.name, flag.takes]));
    expect(takes).toMatchObject({
      assignment_gate: { choices: ["off", "on"] },
      queue_wait_ms: { min: 0, max: 60_000 },
      shed_models: { text: expect.stringContaining("commas") as string },
    });
  });

  it("is open with the admin token", async () => {
    for (const path of [
      "/utilization",
      "/placement",
      "/flags",
      "/usage?days=1",
      "/keys",
      "/provider-tokens",
    ]) {
      expect((await callAdmin("GET", path)).status).toBe(200);
    }
  });
});

describe("what the page changes", () => {
  it.each([
    ["PUT", "flags/queue_max", { value: "64" }],
    ["POST", "placement/simulate", {}],
    ["POST", "machines/studio-7f3a/pin", { model_id: "a" }],
    ["DELETE", "machines/studio-7f3a", undefined],
    ["PUT", "catalog/a", { size_gb: 1 }],
    ["DELETE", "catalog/a?force=true", undefined],
    ["POST", "keys", { owner: "acme", name: "web" }],
    ["PATCH", "keys/31ce20c437d22bdc02", { priority: "low" }],
    ["DELETE", "keys/31ce20c437d22bdc02", undefined],
    ["POST", "provider-tokens", { owner: "acme", name: "office" }],
    ["DELETE", "provider-tokens/31ce20c437d22bdc02", undefined],
    ...["unpin", "release", "quarantine", "readmit"].map(
      (order) => ["POST", `machines/studio-7f3a/${order}`, undefined] as const,
    ),
  ] as const)("is closed without the admin token: %s %s", async (method, path, body) => {
    const init = { method, ...(body !== undefined && { body: JSON.stringify(body) }) };
    expect((await fetchEdge(`/v1/admin/${path}`, init)).status).toBe(401);
    const wrong = { ...init, headers: { authorization: "Bearer not-the-admin-token" } };
    expect((await fetchEdge(`/v1/admin/${path}`, wrong)).status).toBe(401);
  });

  it("answers as the page expects: a refused value names its field, a closed gate its code", async () => {
    const refused = await errorOf(await callAdmin("PUT", "/flags/queue_max", { value: "many" }));
    expect(refused).toMatchObject({ status: 400, param: "value" });
    expect(refused.message).toMatch(/^queue_max must/);
    const gate = await errorOf(await callAdmin("POST", "/machines/studio-7f3a/pin", { model_id: "a" }));
    expect(gate).toMatchObject({ status: 400, code: "gate_off" });
    const { model } = await scene();
    const demand = { [model]: { requests_per_second: -1 } };
    const asked = await errorOf(await callAdmin("POST", "/placement/simulate", { demand }));
    expect(asked).toMatchObject({ status: 400, param: `demand.${model}.requests_per_second` });
    expect(asked.message.startsWith(asked.param ?? "?")).toBe(true);
  });

  it("takes an entry back as it gave it, less what was emptied, and names the field of one that it refuses", async () => {
    const { model } = await scene();
    const path = `/catalog/${encodeURIComponent(model)}`;
    const { cap, ...entry } = await adminCall<Record<string, unknown>>("GET", path);
    expect(cap).toBeNull();
    const changed = await callAdmin("PUT", path, { ...entry, priority: 2.5 });
    expect(await changed.json()).toEqual({ ...entry, cap, priority: 2.5 });
    for (const [param, field] of [
      ["floor", { floor: -1 }],
      ["aliases[1]", { aliases: ["good", "not good"] }],
    ] as const) {
      const error = await errorOf(await callAdmin("PUT", path, { ...entry, ...field }));
      expect([error.status, error.param]).toEqual([400, param]);
      expect(error.message.startsWith(`${param}: `)).toBe(true);
    }
  });

  it("says of a key or token which field is at fault, and that one is not there", async () => {
    const labels = { owner: "acme", name: "web" };
    for (const [path, param, body] of [
      ["/keys", "owner", { ...labels, owner: " acme" }],
      ["/keys", "tokens_per_minute", { ...labels, tokens_per_minute: 1.5 }],
      ["/provider-tokens", "name", { ...labels, name: "n".repeat(129) }],
    ] as const) {
      const error = await errorOf(await callAdmin("POST", path, body));
      expect([error.status, error.param]).toEqual([400, param]);
      expect(error.message.startsWith(`${param}: `)).toBe(true);
    }
    for (const path of ["/keys/31ce20c437d22bdc02", "/provider-tokens/31ce20c437d22bdc02"]) {
      expect(await errorOf(await callAdmin("DELETE", path))).toMatchObject({
        status: 404,
        code: "not_found",
      });
    }
  });

  it("gives the settings of a key back as the page keeps them", async () => {
    const settings = { requests_per_minute: 60, tokens_per_minute: null, priority: "low" };
    const { id } = await adminCall<{ id: string }>("POST", "/keys", {
      owner: "acme",
      name: "web",
      ...settings,
    });
    const changed = await callAdmin("PATCH", `/keys/${id}`, { requests_per_minute: null });
    expect(await changed.json()).toEqual({
      id,
      owner: "acme",
      name: "web",
      created_at: expect.any(Number) as number,
      ...settings,
      requests_per_minute: null,
    });
  });
});
