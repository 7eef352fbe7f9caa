import { afterEach, describe, expect, it, vi } from "vitest";

import type { ModelPool } from "../../durable-objects/model-pool.ts";
import { assignedAndServing, join } from "./fake-provider.ts";
import {
  adminCall,
  callAdmin,
  chat,
  errorOf,
  newKey,
  newToken,
  poolOf,
  scene,
  setFlag,
  testEnv,
  unique,
  until,
  type Scene,
} from "./scene.ts";

/** Calls to objects that the platform itself refuses or breaks off. */

type Pools = DurableObjectNamespace<ModelPool>;

const overloaded = (): Error =>
  Object.assign(new Error("Durable Object is overloaded. Too many requests queued."), { overloaded: true });
const disconnected = (): Error => Object.assign(new Error("Network connection lost."), { retryable: true });

/** How the Worker's calls to pools end, by the pool's name; null lets one through. */
function breakCalls(next: (pool: string | undefined) => Error | null): () => number {
  const namespace = Object.getPrototypeOf(testEnv.MODEL_POOL) as Pools;
  const get = namespace.get;
  let calls = 0;
  vi.spyOn(namespace, "get").mockImplementation(function (this: Pools, id, options) {
    const stub = get.call(this, id, options);
    const fetch = stub.fetch.bind(stub);
    const broken: DurableObjectStub<ModelPool>["fetch"] = (input, init) => {
      calls += 1;
      const error = next(id.name);
      return error === null ? fetch(input, init) : Promise.reject(error);
    };
    return new Proxy(stub, {
      get: (target, name): unknown => (name === "fetch" ? broken : Reflect.get(target, name)),
    });
  });
  return () => calls;
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("a pool that the platform calls overloaded", () => {
  it("is not asked again, and its client is sent away for a while", async () => {
    const at = await scene();
    await join(at);
    const calls = breakCalls(overloaded);
    const response = await chat(at);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(5);
    expect(response.headers.get("x-pool-reason")).toBe("queue_full");
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    expect([...response.headers.keys()].filter((name) => name.startsWith("x-pool-holds"))).toEqual([]);
    expect(await errorOf(response)).toMatchObject({ status: 429, code: "queue_full" });
    expect(calls()).toBe(1);
  });

  it("is spared by the edge for a second, and hears of what was refused meanwhile", async () => {
    const at = await scene();
    await join(at);
    const calls = breakCalls(overloaded);
    await errorOf(await chat(at));
    for (let more = 0; more < 3; more++) expect((await errorOf(await chat(at))).code).toBe("queue_full");
    expect(calls()).toBe(1);
    const counted = async (): Promise<number> =>
      (await poolOf(at).usage(0))?.reduce((sum, { requests }) => sum + requests, 0) ?? 0;
    await until(async () => (await counted()) === 4);
  });
});

it("a pool that is overloaded takes nothing from a key's limits", async () => {
  const at = await scene();
  await adminCall("PATCH", `/keys/${at.keyId}`, { tokens_per_minute: 1000 });
  breakCalls(overloaded);
  await errorOf(await chat(at, { max_tokens: 900 }));
  const limits = { requestsPerMinute: null, tokensPerMinute: 1000 };
  await until(async () => {
    const asked = testEnv.KEY_LIMITS.getByName(at.keyId).admit(limits, { promptTokens: 0, answerTokens: 0 });
    return (await asked).standings.tokens?.remaining === 1000;
  });
});

it("[H18] a pool that could not be reached for a moment is asked again, not at once and under the same id", async () => {
  const at = await scene();
  const machine = await join(at);
  const errors = [disconnected(), disconnected()];
  const waits = vi.spyOn(scheduler, "wait");
  const calls = breakCalls(() => errors.pop() ?? null);
  const pending = chat(at);
  machine.answer(await machine.next("inference_request"), "{}");
  expect((await pending).status).toBe(200);
  expect(calls()).toBe(3);
  expect(waits.mock.calls.map(([ms]) => ms).filter((ms) => ms < 400)).toHaveLength(2);
});

describe("[H21] an own machine's pool that is overloaded", () => {
  const ask = (at: Scene, route: string, apiKey: string): Promise<Response> =>
    chat(at, {}, { headers: { authorization: `Bearer ${apiKey}`, "x-pool-route": route } });

  it.each(["prefer", "self"])("keeps no request with `%s` from where else its model is", async (route) => {
    await setFlag("assignment_gate", "on");
    const owner = unique("owner");
    const [{ key }, { token }] = [await newKey(owner), await newToken(owner)];
    const [overrun, wanted, free] = [await scene(), await scene(), await scene()];
    await assignedAndServing({ ...overrun, token }, wanted);
    const other =
      route === "prefer" ? await join(wanted) : await assignedAndServing({ ...free, token }, wanted);
    const calls = breakCalls((pool) => (pool === overrun.model ? overloaded() : null));
    const pending = ask(wanted, route, key);
    const answered = other.next("inference_request").then((request) => other.answer(request, "{}"));
    expect(await Promise.race([pending, answered.then(() => pending)])).toMatchObject({ status: 200 });
    expect(calls()).toBe(2);
    await setFlag("assignment_gate", "off");
  });
});

describe("an operator's call", () => {
  it("to an object that is reset meanwhile is 503 `try_again`, and no defect of ours", async () => {
    const failed = vi.spyOn(console, "error");
    const namespace = Object.getPrototypeOf(testEnv.FLEET) as typeof testEnv.FLEET;
    const get = namespace.getByName;
    vi.spyOn(namespace, "getByName").mockImplementation(function (this: typeof namespace, name, options) {
      const stub = get.call(this, name, options);
      return new Proxy(stub, {
        get: (target, field): unknown =>
          field === "machines" ? () => Promise.reject(disconnected()) : Reflect.get(target, field),
      });
    });
    const response = await callAdmin("GET", "/machines");
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await errorOf(response)).toMatchObject({ status: 503, code: "try_again" });
    expect(failed).not.toHaveBeenCalled();
  });
});
