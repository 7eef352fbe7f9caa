import { createExecutionContext, evictDurableObject, waitOnExecutionContext } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import { encodeError } from "../../core/api-error.ts";
import type { RefusalCount } from "../../core/edge-verdicts.ts";
import type { Env } from "../../durable-objects/env.ts";
import { app } from "../../worker/app.ts";
import { join } from "./fake-provider.ts";
import {
  ADMIN,
  adminCall,
  chat,
  chatBody,
  errorOf,
  fetchEdge,
  newKey,
  poolOf,
  scene,
  stopClock,
  testEnv,
  until,
  type Scene,
} from "./scene.ts";

/** The Worker in front of pools that refuse, as the test says, and tell for how long. */
class Flood {
  /** Requests that reached a pool. */
  asked = 0;
  readonly told: RefusalCount[] = [];
  /** How often the pool does not hear what it is told. */
  deaf = 0;
  holdsForMs = 1000;
  holdsFor: "model" | "key" = "model";
  readonly #context = createExecutionContext();
  readonly #env: Env;

  constructor() {
    const pool = {
      fetch: () => this.#refuse(),
      refusedAtEdge: (counts: RefusalCount[]) => this.#tell(counts),
    };
    const namespace = {
      idFromName: (name: string) => testEnv.MODEL_POOL.idFromName(name),
      get: () => pool,
      getByName: () => pool,
    } as unknown as Env["MODEL_POOL"];
    this.#env = { ...testEnv, MODEL_POOL: namespace };
  }

  ask(at: Scene, headers: Record<string, string> = {}, body = chatBody(at)): Promise<Response> {
    const all = { authorization: `Bearer ${at.apiKey}`, ...headers };
    const request = new Request("http://edge/v1/chat/completions", { method: "POST", headers: all, body });
    return Promise.resolve(app.fetch(request, this.#env, this.#context));
  }

  /** Until all that the Worker does after its answers is done. */
  settle(): Promise<void> {
    return waitOnExecutionContext(this.#context);
  }

  #refuse(): Promise<Response> {
    this.asked += 1;
    const error = { code: "pool_exhausted", message: "no machine serves it", retryAfterS: 12 } as const;
    const { status, headers, body } = encodeError(error);
    const hold = {
      "x-pool-holds-ms": String(this.holdsForMs),
      "x-pool-holds-for": this.holdsFor,
      "x-request-id": "of the pool",
    };
    return Promise.resolve(new Response(body, { status, headers: { ...headers, ...hold } }));
  }

  #tell(counts: readonly RefusalCount[]): Promise<void> {
    if (this.deaf > 0) {
      this.deaf -= 1;
      return Promise.reject(new Error("out of order"));
    }
    this.told.push(...counts);
    return Promise.resolve();
  }
}

describe("[F8] a verdict of a pool", () => {
  it("is given to all who come while it holds, without the pool, and counted", async () => {
    const at = await scene();
    const other = { ...at, apiKey: (await newKey("rival")).key };
    await stopClock();
    const flood = new Flood();
    const first = await flood.ask(at);
    expect(first.headers.get("x-pool-holds-ms")).toBeNull();
    expect(first.headers.get("x-pool-holds-for")).toBeNull();
    expect(first.headers.get("x-request-id")).toBe("of the pool");
    expect(await errorOf(first)).toMatchObject({ status: 429, code: "pool_exhausted" });
    const waits = new Set<string>();
    for (let i = 0; i < 20; i++) {
      const response = await flood.ask(i % 4 === 0 ? other : at, { "x-request-id": `trace-${i}` });
      expect(response.headers.get("x-request-id")).toBe(`trace-${i}`);
      expect(response.headers.get("x-pool-reason")).toBe("pool_exhausted");
      const retryAfter = Number(response.headers.get("retry-after"));
      expect(retryAfter).toBeGreaterThanOrEqual(12);
      expect(retryAfter).toBeLessThanOrEqual(60);
      waits.add(response.headers.get("retry-after-ms") ?? "");
      expect(await errorOf(response)).toMatchObject({
        status: 429,
        code: "pool_exhausted",
        type: "rate_limit_exceeded",
        message: "no machine serves it",
      });
    }
    expect(waits.size).toBeGreaterThan(1);
    expect(flood.asked).toBe(1);
    await flood.settle();
    const promptTokens = Math.ceil(chatBody(at).length / 4);
    const count = { code: "pool_exhausted", keyId: at.keyId, requests: 15, promptTokens: 15 * promptTokens };
    expect(flood.told).toHaveLength(2);
    expect(flood.told).toContainEqual(count);
    expect(flood.told.reduce((sum, { requests }) => sum + requests, 0)).toBe(20);
  });

  it("ends when it has said", async () => {
    const at = await scene();
    await stopClock();
    const flood = new Flood();
    flood.holdsForMs = 400;
    await flood.ask(at);
    vi.advanceTimersByTime(399);
    await flood.ask(at);
    expect(flood.asked).toBe(1);
    vi.advanceTimersByTime(1);
    await flood.ask(at);
    expect(flood.asked).toBe(2);
    await flood.settle();
  });

  it("for one key is given to that key alone", async () => {
    const at = await scene();
    const other = { ...at, apiKey: (await newKey("rival")).key };
    await stopClock();
    const flood = new Flood();
    flood.holdsFor = "key";
    for (let i = 0; i < 3; i++) await flood.ask(at);
    expect(flood.asked).toBe(1);
    await flood.ask(other);
    expect(flood.asked).toBe(2);
    await flood.settle();
    expect(flood.told).toMatchObject([{ keyId: at.keyId, requests: 2 }]);
  });

  it("says nothing about other models, and nothing at all if it does not hold", async () => {
    const at = await scene();
    const other = await scene();
    await stopClock();
    const flood = new Flood();
    await flood.ask(at);
    await flood.ask({ ...other, apiKey: at.apiKey });
    flood.holdsForMs = 0;
    const third = await scene();
    for (let i = 0; i < 2; i++) {
      expect((await flood.ask(third)).headers.get("x-pool-holds-ms")).toBeNull();
    }
    expect(flood.asked).toBe(4);
    await flood.settle();
    expect(flood.told).toEqual([]);
  });

  it("is never used for requests with x-pool-route", async () => {
    const at = await scene();
    await stopClock();
    const flood = new Flood();
    await flood.ask(at);
    for (let i = 0; i < 2; i++) {
      const response = await flood.ask(at, { "x-pool-route": "prefer" });
      expect(response.headers.get("x-pool-holds-ms")).toBeNull();
    }
    expect(flood.asked).toBe(3);
    await flood.settle();
    expect(flood.told).toEqual([]);
  });

  it("comes after whatever else is wrong with a request", async () => {
    const at = await scene();
    await stopClock();
    const flood = new Flood();
    await flood.ask(at);
    expect((await flood.ask({ ...at, apiKey: "pk_0_0" })).status).toBe(401);
    expect((await flood.ask(at, {}, "{no")).status).toBe(400);
    expect((await flood.ask(at, {}, chatBody(at, { n: 2 }))).status).toBe(400);
    expect((await flood.ask({ ...at, model: "none" })).status).toBe(404);
    await flood.settle();
    expect(flood.told).toEqual([]);
  });

  it("is counted all the same when the pool does not hear at first", async () => {
    const at = await scene();
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await stopClock();
    const flood = new Flood();
    flood.deaf = 2;
    for (let i = 0; i < 4; i++) await flood.ask(at);
    await flood.settle();
    expect(flood.deaf).toBe(0);
    expect(flood.told).toMatchObject([{ keyId: at.keyId, requests: 3 }]);
  });

  it("gives a limited key its tokens back", async () => {
    const at = await scene();
    const body = { owner: "acme", name: "limited", tokens_per_minute: 100_000 };
    const { key, id } = await adminCall<{ key: string; id: string }>("POST", "/keys", body);
    await stopClock();
    const flood = new Flood();
    await flood.ask(at);
    const response = await flood.ask({ ...at, apiKey: key });
    expect(response.headers.get("x-ratelimit-limit-tokens")).toBe("100000");
    expect(flood.asked).toBe(1);
    await flood.settle();
    const limits = { requestsPerMinute: null, tokensPerMinute: 100_000 };
    const nothing = { promptTokens: 0, answerTokens: 0 };
    const { standings } = await testEnv.KEY_LIMITS.getByName(id).admit(limits, nothing);
    expect(standings.tokens).toMatchObject({ remaining: 100_000 });
  });
});

it("[F8] what the edge has refused is demand, usage and a metric of the pool, also after its sleep", async () => {
  const at = await scene();
  const count = { code: "pool_exhausted", keyId: at.keyId, requests: 40, promptTokens: 400 } as const;
  await poolOf(at).refusedAtEdge([count, { ...count, keyId: "other", requests: 2, promptTokens: 20 }]);
  const metricsText = async (): Promise<string> => {
    const response = await fetchEdge("/metrics", { headers: { authorization: `Bearer ${ADMIN}` } });
    return response.text();
  };
  const line = `poolkeeper_requests_total{model="${at.model}",outcome="pool_exhausted"} 42`;
  expect(await metricsText()).toContain(line);
  await evictDurableObject(poolOf(at));
  expect(await metricsText()).toContain(line);
  const { usage } = await adminCall<{ usage: object[] }>("GET", "/usage");
  expect(usage).toContainEqual(
    expect.objectContaining({
      model_id: at.model,
      key_id: at.keyId,
      outcome: "pool_exhausted",
      requests: 40,
    }),
  );
  const minutes = await poolOf(at).demand(0);
  expect(minutes.reduce((sum, { arrivals }) => sum + arrivals, 0)).toBe(42);
  expect(minutes.reduce((sum, { promptTokens }) => sum + promptTokens, 0)).toBe(420);
});

it("[F8] [C3] every client of a flood at an exhausted pool is refused alike and counted, pool or no pool", async () => {
  const at = await scene();
  const machine = await join(at);
  await adminCall("PUT", "/flags/pool_exhausted_429", { value: "on" });
  await machine.hasHeardAll(at);
  machine.close();
  await until(async () => (await poolOf(at).report(4)).machines.length === 0);
  const clients = 30;
  for (let i = 0; i < clients; i++) {
    const response = await chat(at, { stream: i % 2 === 0 });
    expect([...response.headers.keys()].filter((name) => name.startsWith("x-pool-holds"))).toEqual([]);
    const retryAfter = Number(response.headers.get("retry-after"));
    expect(retryAfter).toBeGreaterThanOrEqual(10);
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect(await errorOf(response)).toMatchObject({ status: 429, code: "pool_exhausted" });
  }
  const counted = async (): Promise<number> => {
    const { usage } = await adminCall<{ usage: { model_id: string; requests: number }[] }>("GET", "/usage");
    return usage.reduce((sum, row) => sum + (row.model_id === at.model ? row.requests : 0), 0);
  };
  await until(async () => (await counted()) === clients);
  await evictDurableObject(poolOf(at));
  const minutes = await poolOf(at).demand(0);
  expect(minutes.reduce((sum, { arrivals }) => sum + arrivals, 0)).toBe(clients);
  await adminCall("PUT", "/flags/pool_exhausted_429", { value: "off" });
});
