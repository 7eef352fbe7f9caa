import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi, type MockInstance } from "vitest";

import { RefusalTally } from "../../core/edge-verdicts.ts";
import { LONGEST_VERDICT_MS, TALLY_FLUSH_MS, TALLY_RETRY_MS, TALLY_TRIES } from "../../core/limits.ts";
import { ModelPool } from "../../durable-objects/model-pool.ts";
import { join, type FakeProvider } from "./fake-provider.ts";
import {
  ADMIN,
  adminCall,
  breakDown,
  chat,
  chatBody,
  endGrace,
  errorOf,
  fetchEdge,
  newKey,
  poolOf,
  resetObject,
  scene,
  setFlag,
  stopClock,
  testEnv,
  until,
  untilEmpty,
  untilQueued,
  type Scene,
} from "./scene.ts";

/** What the pools are told of the edge's refusals, watched on its way in. */
let told: MockInstance<ModelPool["refusedAtEdge"]>;

beforeEach(() => {
  told = vi.spyOn(ModelPool.prototype, "refusedAtEdge");
});

afterEach(async () => {
  vi.restoreAllMocks();
  await setFlag("pool_exhausted_429", "off");
});

/** A pool whose only machine is there and takes no requests at the moment. */
async function pausing(): Promise<Scene> {
  const { at } = await withPausingMachine();
  return at;
}

/** One whose only machine has said goodbye and gone: the fleet has the model, but nowhere to serve it. */
async function exhausted(): Promise<Scene> {
  const { at, machine } = await withPausingMachine();
  machine.close();
  await untilEmpty(at);
  return at;
}

/** Three refusals that the pool has yet to hear of, after one that it gave itself; the clock stands. */
async function threeUntold() {
  const at = await exhausted();
  const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  await stopClock({ waits: true });
  await ask(at);
  await poolOf(at).usage(0);
  for (let i = 0; i < 3; i++) await ask(at);
  return { at, warned };
}

async function withPausingMachine(): Promise<{ at: Scene; machine: FakeProvider }> {
  const at = await scene();
  const machine = await join(at);
  await setFlag("pool_exhausted_429", "on");
  await machine.hasHeardAll(at);
  machine.heartbeat({ accepting: false });
  await until(async () => (await poolOf(at).report(4)).machines[0]?.blockedBy === "not_accepting");
  return { at, machine };
}

function ask(at: Scene, headers: Record<string, string> = {}, body = chatBody(at)): Promise<Response> {
  const all = { authorization: `Bearer ${at.apiKey}`, ...headers };
  return fetchEdge("/v1/chat/completions", { method: "POST", headers: all, body });
}

/** Time passes, and nothing is woken by it but the waits of the Worker. */
const pass = (ms: number): unknown => vi.setSystemTime(Date.now() + ms);

/** Requests that the pool has counted. Until it is told of those refused at the edge these are the ones that came to it. */
async function arrived(at: Scene): Promise<number> {
  return (await poolOf(at).report(4)).demand.arrivals;
}

/** Lets the Worker tell, until the pool has counted that many. */
async function untilTold(at: Scene, count: number): Promise<void> {
  pass(TALLY_FLUSH_MS);
  await until(async () => (await arrived(at)) === count);
}

const verdictHeaders = ({ headers }: Response): string[] =>
  [...headers.keys()].filter((name) => name.startsWith("x-pool-holds"));

const promptTokensOf = (at: Scene): number => Math.ceil(chatBody(at).length / 4);

describe("[F8] a verdict of a pool", () => {
  it("is given to all who come while it holds, without the pool, and counted", async () => {
    const at = await exhausted();
    const rival = await newKey("rival");
    const other = { ...at, apiKey: rival.key };
    await stopClock({ waits: true });
    const first = await ask(at, { "x-request-id": "trace-first" });
    expect(verdictHeaders(first)).toEqual([]);
    expect(first.headers.get("x-request-id")).toBe("trace-first");
    const leastWaitMs = Number(first.headers.get("retry-after-ms"));
    expect(leastWaitMs).toBeGreaterThanOrEqual(10_000);
    const refusal = await errorOf(first);
    expect(refusal).toMatchObject({ status: 429, code: "pool_exhausted", type: "rate_limit_exceeded" });
    const waits = new Set<number>();
    for (let i = 0; i < 20; i++) {
      const response = await ask(i % 4 === 0 ? other : at, { "x-request-id": `trace-${i}` });
      expect(verdictHeaders(response)).toEqual([]);
      expect(response.headers.get("x-request-id")).toBe(`trace-${i}`);
      expect(response.headers.get("x-pool-reason")).toBe("pool_exhausted");
      const waitMs = Number(response.headers.get("retry-after-ms"));
      expect(waitMs).toBeGreaterThanOrEqual(leastWaitMs);
      expect(waitMs).toBeLessThanOrEqual(leastWaitMs * 1.5 + 1);
      expect(Number(response.headers.get("retry-after"))).toBe(Math.ceil(waitMs / 1000));
      waits.add(waitMs);
      expect(await errorOf(response)).toEqual(refusal);
    }
    expect(waits.size).toBeGreaterThan(1);
    expect(await arrived(at)).toBe(1);
    await untilTold(at, 21);
    const promptTokens = promptTokensOf(at);
    const count = { code: "pool_exhausted", keyId: at.keyId, requests: 15, promptTokens: 15 * promptTokens };
    const ofRival = { ...count, keyId: rival.id, requests: 5, promptTokens: 5 * promptTokens };
    expect(told.mock.calls).toHaveLength(1);
    const [[counts] = [[]]] = told.mock.calls;
    expect(counts).toHaveLength(2);
    expect(counts).toEqual(expect.arrayContaining([count, ofRival]));
    const minutes = await poolOf(at).demand(0);
    expect(minutes.reduce((sum, row) => sum + row.promptTokens, 0)).toBe(21 * promptTokens);
    const { usage } = await adminCall<{ usage: object[] }>("GET", "/usage");
    const row = { model_id: at.model, outcome: "pool_exhausted" };
    expect(usage).toContainEqual(expect.objectContaining({ ...row, key_id: at.keyId, requests: 16 }));
    expect(usage).toContainEqual(expect.objectContaining({ ...row, key_id: rival.id, requests: 5 }));
  });

  it.each([
    ["a second, and not longer", exhausted, 1000],
    ["a quarter of it while a machine may come back", pausing, 250],
  ])("ends after %s", async (_, pool, holdsForMs) => {
    const at = await pool();
    await stopClock({ waits: true });
    await ask(at);
    pass(holdsForMs - 1);
    expect(await errorOf(await ask(at))).toMatchObject({ code: "pool_exhausted" });
    expect(await arrived(at)).toBe(1);
    pass(1);
    expect(await errorOf(await ask(at))).toMatchObject({ code: "pool_exhausted" });
    expect(await arrived(at)).toBe(2);
    await untilTold(at, 3);
  });

  it("of a model that is switched off is the same, and is no verdict on other models", async () => {
    const at = await scene();
    const other = await scene();
    await setFlag("shed_models", at.model);
    await stopClock({ waits: true });
    for (let i = 0; i < 3; i++) {
      expect(await errorOf(await ask(at))).toMatchObject({ status: 429, code: "model_shed" });
    }
    expect(await arrived(at)).toBe(1);
    const elsewhere = await ask({ ...other, apiKey: at.apiKey });
    expect(await errorOf(elsewhere)).toMatchObject({ status: 503, code: "model_unavailable" });
    expect(await arrived(other)).toBe(1);
    await untilTold(at, 3);
    expect(await arrived(other)).toBe(1);
    await setFlag("shed_models", "");
  });

  it("is not given with a 503, so that each request reaches the pool", async () => {
    const at = await scene();
    await stopClock({ waits: true });
    for (let i = 1; i <= 3; i++) {
      const response = await ask(at);
      expect(verdictHeaders(response)).toEqual([]);
      expect(await errorOf(response)).toMatchObject({ status: 503, code: "model_unavailable" });
      expect(await arrived(at)).toBe(i);
    }
    expect(told).not.toHaveBeenCalled();
  });

  it("for one key is given to that key alone", async () => {
    const at = await scene({ max_concurrency: 1 });
    const rival = { ...at, apiKey: (await newKey("rival")).key };
    const machine = await join(at);
    await setFlag("queue_max", "2");
    await stopClock({ waits: true });
    // A line is known to drain once an answer has shown how fast.
    const measured = ask(at);
    const served = await machine.next("inference_request");
    pass(1000);
    machine.answer(served, "{}");
    expect((await measured).status).toBe(200);
    const running = ask(at);
    const holding = await machine.next("inference_request");
    const waiting = [ask(at), ask(at)];
    await untilQueued(at, 2);
    for (let i = 0; i < 3; i++) {
      const response = await ask(at);
      expect(verdictHeaders(response)).toEqual([]);
      expect(await errorOf(response)).toMatchObject({ status: 429, code: "queue_full" });
    }
    expect(await arrived(at)).toBe(5);
    const ofRival = ask(rival);
    // One of the key that has two places makes room.
    expect(await errorOf(await Promise.race(waiting))).toMatchObject({ status: 429, code: "queue_full" });
    expect(await arrived(at)).toBe(6);
    await untilTold(at, 8);
    expect(told.mock.calls).toEqual([
      [[expect.objectContaining({ code: "queue_full", keyId: at.keyId, requests: 2 })]],
    ]);
    machine.answer(holding, "{}");
    for (let i = 0; i < 2; i++) machine.answer(await machine.next("inference_request"), "{}");
    expect((await running).status).toBe(200);
    expect((await ofRival).status).toBe(200);
    const [kept] = await Promise.all(waiting);
    expect(kept?.status).toBe(200);
    await setFlag("queue_max", "32");
  });

  it("is neither used for requests with x-pool-route nor given by what they are told", async () => {
    const at = await exhausted();
    await stopClock({ waits: true });
    expect((await ask(at, { "x-pool-route": "prefer" })).headers.get("x-pool-reason")).toBe("pool_exhausted");
    expect(await arrived(at)).toBe(1);
    await ask(at);
    expect(await arrived(at)).toBe(2);
    for (let i = 1; i <= 2; i++) {
      const response = await ask(at, { "x-pool-route": "prefer" });
      expect(verdictHeaders(response)).toEqual([]);
      expect(await arrived(at)).toBe(2 + i);
    }
    const alone = await ask(at, { "x-pool-route": "self" });
    expect(await errorOf(alone)).toMatchObject({ status: 503, code: "machine_offline" });
    expect(await arrived(at)).toBe(5);
    expect(told).not.toHaveBeenCalled();
  });

  it("is not given while more are counted already than may be kept, so that the pool counts them", async () => {
    const at = await exhausted();
    await stopClock({ waits: true });
    await ask(at);
    await ask(at);
    expect(await arrived(at)).toBe(1);
    vi.spyOn(RefusalTally.prototype, "isFull", "get").mockReturnValue(true);
    expect((await errorOf(await ask(at))).code).toBe("pool_exhausted");
    expect(await arrived(at)).toBe(2);
    await untilTold(at, 3);
  });

  it("comes after whatever else is wrong with a request", async () => {
    const at = await exhausted();
    await stopClock({ waits: true });
    await ask(at);
    expect((await ask({ ...at, apiKey: "pk_0_0" })).status).toBe(401);
    expect((await ask(at, {}, "{no")).status).toBe(400);
    expect((await ask(at, {}, chatBody(at, { n: 2 }))).status).toBe(400);
    expect((await ask({ ...at, model: "none" })).status).toBe(404);
    // None of them is counted with the one that the verdict is for.
    expect((await ask(at)).status).toBe(429);
    expect(await arrived(at)).toBe(1);
    await untilTold(at, 2);
    expect(told.mock.calls).toEqual([[[expect.objectContaining({ keyId: at.keyId, requests: 1 })]]]);
  });

  it("is given and counted all the same while the pool is down", async () => {
    const at = await exhausted();
    await stopClock({ waits: true });
    await ask(at);
    // Writes what has been counted, which a reset would lose.
    await poolOf(at).usage(0);
    await ask(at);
    await resetObject(poolOf(at));
    for (let i = 0; i < 2; i++) {
      expect(await errorOf(await ask(at))).toMatchObject({ status: 429, code: "pool_exhausted" });
    }
    // Nobody was woken for them.
    await expect(evictDurableObject(poolOf(at))).rejects.toThrow("not currently running");
    await untilTold(at, 4);
  });

  it("is counted once when the pool breaks down twice while it is told", async () => {
    const { at, warned } = await threeUntold();
    const waits = [TALLY_FLUSH_MS, TALLY_RETRY_MS];
    for (const [index, waitMs] of waits.entries()) {
      await breakWhenTold(at);
      pass(waitMs);
      await until(() => warned.mock.calls.length > index);
      const event = { event: "pool_unreachable", pool: at.model, call: "refusedAtEdge" };
      expect(warned).toHaveBeenLastCalledWith(expect.objectContaining(event));
      expect(await arrived(at)).toBe(1);
    }
    pass(TALLY_RETRY_MS);
    await until(async () => (await arrived(at)) === 4);
    expect(told).toHaveBeenCalledTimes(3);
    const last = told.mock.lastCall;
    expect(last).toEqual([[expect.objectContaining({ keyId: at.keyId, requests: 3 })]]);
  });

  it("is told with the next flush when the pool has broken down each time", async () => {
    const { at, warned } = await threeUntold();
    for (let tries = 1; tries <= TALLY_TRIES; tries++) {
      await breakWhenTold(at);
      pass(tries === 1 ? TALLY_FLUSH_MS : TALLY_RETRY_MS);
      await until(() => warned.mock.calls.length >= tries);
    }
    await ask(at);
    await ask(at);
    await untilTold(at, 6);
  });

  it("gives a limited key its tokens back", async () => {
    const at = await exhausted();
    const body = { owner: "acme", name: "limited", tokens_per_minute: 100_000 };
    const { key, id } = await adminCall<{ key: string; id: string }>("POST", "/keys", body);
    await stopClock({ waits: true });
    await ask(at);
    const response = await ask({ ...at, apiKey: key });
    expect(response.headers.get("x-ratelimit-limit-tokens")).toBe("100000");
    expect(await errorOf(response)).toMatchObject({ status: 429, code: "pool_exhausted" });
    expect(await arrived(at)).toBe(1);
    const limits = { requestsPerMinute: null, tokensPerMinute: 100_000 };
    const nothing = { promptTokens: 0, answerTokens: 0 };
    await until(async () => {
      const { standings } = await testEnv.KEY_LIMITS.getByName(id).admit(limits, nothing);
      return standings.tokens?.remaining === 100_000;
    });
    await untilTold(at, 2);
  });
});

/** The pool is reset in the middle of the next call by which it is told. */
function breakWhenTold(at: Scene): Promise<void> {
  return runInDurableObject<ModelPool, void>(poolOf(at), (_, state) => {
    told.mockImplementationOnce(() => breakDown(state));
  });
}

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
  await setFlag("pool_exhausted_429", "on");
  await machine.hasHeardAll(at);
  machine.close();
  await untilEmpty(at);
  await stopClock();
  const clients = 30;
  for (let i = 0; i < clients; i++) {
    // Each tenth finds no verdict that holds.
    if (i % 10 === 9) pass(LONGEST_VERDICT_MS);
    const pending = chat(at, { stream: i % 2 === 0 });
    if (i === 0) await endGrace(at, 1);
    const response = await pending;
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
});
