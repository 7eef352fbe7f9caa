import {
  evictDurableObject,
  listDurableObjectIds,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import { KeyLimits } from "../../durable-objects/key-limits.ts";
import { expectAnswer, type FakeProvider, HELLO, join, type Message } from "./fake-provider.ts";
import {
  adminCall,
  breakDown,
  callAdmin,
  chat,
  stopClock,
  chatBody,
  errorOf,
  fetchEdge,
  newKey,
  readText,
  scene,
  testEnv,
  type Scene,
  until,
  untilQueued,
} from "./scene.ts";

interface KeyRow {
  readonly id: string;
  readonly owner: string;
  readonly name: string;
  readonly created_at: number;
  readonly requests_per_minute: number | null;
  readonly tokens_per_minute: number | null;
}

/** A scene whose key has limits. */
async function limited(limits: object, fields: object = {}): Promise<Scene> {
  const at = await scene(fields);
  const body = { owner: "acme", name: "limited", ...limits };
  const { id, key } = await adminCall<{ id: string; key: string }>("POST", "/keys", body);
  return { ...at, apiKey: key, keyId: id };
}

const limitsOf = (at: Scene): DurableObjectStub<KeyLimits> => testEnv.KEY_LIMITS.getByName(at.keyId);

/** Resets the object that counts for the key, as a deploy does. */
async function reset(at: Scene): Promise<void> {
  const aborted = runInDurableObject<KeyLimits, void>(limitsOf(at), (_, state) =>
    state.abort("reset by the test"),
  );
  await aborted.catch(() => undefined);
}

/** Asks, answers, and gives the client's response with its body read. */
async function answered(at: Scene, machine: FakeProvider, fields: object = {}): Promise<Response> {
  const pending = chat(at, fields);
  machine.answer(await machine.next("inference_request"), "{}");
  const response = await pending;
  expect(await response.text()).toBe("{}");
  return response;
}

const header = (response: Response, name: string): string | null =>
  response.headers.get(`x-ratelimit-${name}`);

/** How many tokens are left, as the next request would be told; it uses none up itself. */
async function tokensLeft(at: Scene, limit: number): Promise<number> {
  const limits = { requestsPerMinute: null, tokensPerMinute: limit };
  const { standings } = await limitsOf(at).admit(limits, { promptTokens: 0, answerTokens: 0 });
  return standings.tokens?.remaining ?? -1;
}

describe("a key with requests_per_minute", () => {
  it("is refused above them, in every location, with the headers SDKs know", async () => {
    const at = await limited({ requests_per_minute: 2 });
    const machine = await join(at);
    const first = await answered(at, machine);
    expect(header(first, "limit-requests")).toBe("2");
    expect(header(first, "remaining-requests")).toBe("1");
    expect(header(first, "reset-requests")).toMatch(/^1m[01]s$/);
    expect(header(first, "limit-tokens")).toBeNull();
    const second = await answered(at, machine);
    expect(header(second, "remaining-requests")).toBe("0");
    const third = await chat(at);
    expect(third.headers.get("x-pool-reason")).toBe("rate_limited");
    expect(Number(third.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(Number(third.headers.get("retry-after"))).toBeLessThanOrEqual(60);
    expect(header(third, "remaining-requests")).toBe("0");
    expect(third.headers.get("x-request-id")).toMatch(/^req_/);
    expect(await errorOf(third)).toMatchObject({
      status: 429,
      code: "rate_limited",
      type: "rate_limit_exceeded",
      param: null,
    });
    expect(machine.unread).not.toContain("inference_request");
  });

  it("says where it stands on streams and on refusals of the pool, too", async () => {
    const at = await limited({ requests_per_minute: 5 });
    const empty = await chat(at);
    expect(empty.status).toBe(503);
    expect(header(empty, "remaining-requests")).toBe("4");
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    machine.answer(await machine.next("inference_request"));
    const stream = await pending;
    expect(stream.headers.get("content-type")).toBe("text/event-stream");
    expect(header(stream, "remaining-requests")).toBe("3");
    expect(await stream.text()).toBe(HELLO);
  });

  it("does not use them up by requests that make no sense", async () => {
    const at = await limited({ requests_per_minute: 1 });
    const machine = await join(at);
    expect((await chat(at, { n: 2 })).status).toBe(400);
    expect((await chat(at, { model: "none" })).status).toBe(404);
    expect((await answered(at, machine)).status).toBe(200);
  });

  it("is let through, and logged, when its limits cannot be asked for", async () => {
    const at = await limited({ requests_per_minute: 1 });
    const machine = await join(at);
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await answered(at, machine);
    await runInDurableObject<KeyLimits, void>(limitsOf(at), (_, state) => {
      const admit = vi.spyOn(KeyLimits.prototype, "admit");
      admit.mockImplementationOnce(() => breakDown(state));
    });
    const pending = chat(at);
    machine.answer(await machine.next("inference_request"), "{}");
    const response = await pending;
    expect(response.status).toBe(200);
    expect(header(response, "limit-requests")).toBeNull();
    expect(warned).toHaveBeenCalledWith(
      expect.objectContaining({ event: "key_limits_unreachable", keyId: at.keyId }),
    );
  });

  it("lets the object that counts sleep once that is saved, and its minute goes on", async () => {
    const at = await scene();
    await stopClock();
    const limits = limitsOf(at);
    const question = { promptTokens: 0, answerTokens: 400 };
    const admit = () => limits.admit({ requestsPerMinute: 2, tokensPerMinute: 1000 }, question);
    const pass = (ms: number) => runInDurableObject(limits, () => vi.advanceTimersByTime(ms));
    const timers = vi.getTimerCount();
    const first = await admit();
    if (!first.admitted) throw new Error("it was the first");
    await pass(1000);
    await limits.settle(first.reservation, 50);
    expect(vi.getTimerCount()).toBe(timers + 1);
    await pass(1000);
    expect(vi.getTimerCount()).toBe(timers);
    await evictDurableObject(limits);
    expect(await admit()).toMatchObject({
      standings: { requests: { remaining: 0 }, tokens: { remaining: 550 } },
    });
    expect(await admit()).toMatchObject({ admitted: false, limitedBy: "requests" });
    await pass(2000);
    // Who is refused changes nothing.
    await admit();
    expect(vi.getTimerCount()).toBe(timers);
    await evictDurableObject(limits);
    await pass(60_250);
    expect(await admit()).toMatchObject({ admitted: true, standings: { requests: { remaining: 1 } } });
  });

  it("says so if that cannot be saved, and counts on", async () => {
    const at = await scene();
    await stopClock();
    const limits = limitsOf(at);
    const failed = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const question = { promptTokens: 0, answerTokens: 0 };
    const admit = () => limits.admit({ requestsPerMinute: 2, tokensPerMinute: null }, question);
    await admit();
    await runInDurableObject(limits, (_, { storage }) => {
      vi.spyOn(storage.kv, "put").mockImplementation(() => {
        throw new Error("Exceeded allowed rows written in Durable Objects free tier.");
      });
      vi.advanceTimersByTime(2000);
    });
    expect(failed.mock.calls).toEqual([
      [expect.objectContaining({ event: "key_limits_not_saved", keyId: at.keyId })],
    ]);
    await admit();
    expect(await admit()).toMatchObject({ admitted: false, limitedBy: "requests" });
    vi.restoreAllMocks();
  });

  it("counts anew if what was saved is in words of another version", async () => {
    const limits = limitsOf(await scene());
    await runInDurableObject<KeyLimits, void>(limits, (_, { storage }) =>
      storage.kv.put("window", { cells: "?" }),
    );
    await evictDurableObject(limits);
    const question = { promptTokens: 0, answerTokens: 0 };
    const verdict = await limits.admit({ requestsPerMinute: 1, tokensPerMinute: null }, question);
    expect(verdict.admitted).toBe(true);
  });

  it("is forgiven what was not saved yet when its object is reset, and counts on from there", async () => {
    const at = await limited({ requests_per_minute: 1 });
    const machine = await join(at);
    await stopClock();
    await answered(at, machine);
    expect((await chat(at)).status).toBe(429);
    await reset(at);
    await answered(at, machine);
    expect((await chat(at)).status).toBe(429);
  });
});

describe("a key with tokens_per_minute", () => {
  it("pays what its requests have used, not what they might have", async () => {
    const at = await limited({ tokens_per_minute: 1000 });
    const machine = await join(at);
    const response = await answered(at, machine, { max_tokens: 900 });
    expect(header(response, "limit-tokens")).toBe("1000");
    expect(Number(header(response, "remaining-tokens"))).toBeLessThan(100);
    // The fake machine counts 7 and 3.
    await until(async () => (await tokensLeft(at, 1000)) === 990);
    await answered(at, machine, { max_tokens: 900 });
    await until(async () => (await tokensLeft(at, 1000)) === 980);
  });

  it("holds them while a request runs, and is refused for want of them", async () => {
    const at = await limited({ tokens_per_minute: 1000 });
    const machine = await join(at);
    const running = chat(at, { max_completion_tokens: 900 });
    const request = await machine.next("inference_request");
    const refusal = await chat(at, { max_tokens: 900 });
    expect(header(refusal, "remaining-tokens")).toMatch(/^\d\d$/);
    expect(await errorOf(refusal)).toMatchObject({ status: 429, code: "rate_limited" });
    machine.answer(request, "{}");
    expect((await running).status).toBe(200);
  });

  it("pays what a request has used, and gets nothing given, if its object is reset meanwhile", async () => {
    const at = await limited({ tokens_per_minute: 1000 });
    const machine = await join(at);
    await stopClock();
    const running = chat(at, { max_tokens: 900 });
    const request = await machine.next("inference_request");
    await reset(at);
    expect(await tokensLeft(at, 1000)).toBe(1000);
    machine.answer(request, "{}");
    expect((await running).status).toBe(200);
    await until(async () => (await tokensLeft(at, 1000)) !== 1000);
    expect(await tokensLeft(at, 1000)).toBe(990);
  });

  it("gets all back for what was refused or failed", async () => {
    const at = await limited({ tokens_per_minute: 1000 });
    expect((await chat(at)).status).toBe(503);
    await until(async () => (await tokensLeft(at, 1000)) === 1000);
    const init = { headers: { authorization: `Bearer ${at.apiKey}`, "x-pool-route": "self" } };
    const offline = await chat(at, {}, init);
    expect(header(offline, "limit-tokens")).toBe("1000");
    expect(await errorOf(offline)).toMatchObject({ status: 503, code: "machine_offline" });
    await until(async () => (await tokensLeft(at, 1000)) === 1000);
  });

  it("gets all back for a request that went to no machine before its client left", async () => {
    const at = await limited({ tokens_per_minute: 1000 });
    const machine = await join(at, { max_concurrency: 1 });
    const running = chat({ ...at, apiKey: (await newKey("acme")).key });
    const request = await machine.next("inference_request");
    const client = new AbortController();
    const waiting = chat(at, { max_tokens: 500 }, { signal: client.signal });
    await untilQueued(at, 1);
    client.abort();
    await expect(waiting).rejects.toThrow("abort");
    await until(async () => (await tokensLeft(at, 1000)) === 1000);
    machine.answer(request, "{}");
    expect((await running).status).toBe(200);
  });

  it("is answered also if what it has used cannot be reported, which is logged", async () => {
    const at = await limited({ tokens_per_minute: 1000 });
    const machine = await join(at);
    const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await answered(at, machine, { max_tokens: 100 });
    await until(async () => (await tokensLeft(at, 1000)) === 990);
    await runInDurableObject<KeyLimits, void>(limitsOf(at), (_, state) => {
      vi.spyOn(KeyLimits.prototype, "settle").mockImplementationOnce(() => breakDown(state));
    });
    await answered(at, machine, { max_tokens: 100 });
    const line: unknown = expect.objectContaining({ event: "key_limits_unreachable", keyId: at.keyId });
    await vi.waitFor(() => expect(warned).toHaveBeenCalledWith(line));
    vi.restoreAllMocks();
  });

  it("pays for an answer whose client has left in the middle by what was held for it", async () => {
    const at = await limited({ tokens_per_minute: 1000 });
    const machine = await join(at);
    const client = new AbortController();
    const left = chat(at, { max_tokens: 500 }, { signal: client.signal });
    await machine.next("inference_request");
    client.abort();
    await expect(left).rejects.toThrow("abort");
    await machine.next("cancel");
    await answered(at, machine, { max_tokens: 1 });
    expect(await tokensLeft(at, 1000)).toBeLessThan(500);
  });
});

it("a key pays for what its client has read of a stream before he left, also beyond what was held", async () => {
  const at = await limited({ tokens_per_minute: 10_000 });
  const machine = await join(at);
  const client = new AbortController();
  const pending = chat(at, { stream: true }, { signal: client.signal });
  const request = await machine.next("inference_request");
  machine.accept(request);
  const chunk = `data: ${"x".repeat(248)}\n\n`;
  for (let i = 0; i < 40; i++) machine.bytes(request, chunk.repeat(100));
  const reader = (await pending).body?.getReader();
  for (let read = 0; read < 4000 * chunk.length;) read += (await readText(reader)).length;
  client.abort();
  await machine.next("cancel");
  machine.error(request, "cancelled", "cancelled");
  // The prompt's estimate and a token for each chunk; without it the 1,024 that are held.
  await until(async () => (await tokensLeft(at, 10_000)) < 6000);
  expect(await tokensLeft(at, 10_000)).toBeGreaterThan(5900);
});

it("a deleted key's window is kept while requests with it may run, and leaves nothing after that", async () => {
  const at = await limited({ requests_per_minute: 100 });
  const machine = await join(at);
  await answered(at, machine);
  const kept = () =>
    runInDurableObject<KeyLimits, unknown>(limitsOf(at), (_, { storage }) => storage.kv.get("window"));
  await until(async () => (await kept()) !== undefined);
  expect(await runDurableObjectAlarm(limitsOf(at))).toBe(false);
  await adminCall("DELETE", `/keys/${at.keyId}`);
  expect(await kept()).toBeDefined();
  expect(await runDurableObjectAlarm(limitsOf(at))).toBe(true);
  expect(await kept()).toBeUndefined();
});

it("a key is deleted although the object that counts for it breaks", async () => {
  const at = await limited({ requests_per_minute: 100 });
  const broken = vi.spyOn(KeyLimits.prototype, "forget").mockRejectedValueOnce(new Error("broken"));
  const warned = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  await adminCall("DELETE", `/keys/${at.keyId}`);
  expect(warned.mock.calls).toMatchObject([[{ event: "key_limits_not_forgotten", keyId: at.keyId }]]);
  broken.mockRestore();
  warned.mockRestore();
  expect((await callAdmin("DELETE", `/keys/${at.keyId}`)).status).toBe(404);
});

describe("a key without limits", () => {
  it("gets no such headers and has no object that counts for it", async () => {
    const at = await scene();
    const machine = await join(at);
    const response = await answered(at, machine);
    expect([...response.headers.keys()].filter((name) => name.startsWith("x-ratelimit"))).toEqual([]);
    await expectAnswer(at, machine);
    const ids = await listDurableObjectIds(testEnv.KEY_LIMITS);
    expect(ids.map(String)).not.toContain(String(limitsOf(at).id));
  });
});

describe("limits of a key", () => {
  const find = async (id: string): Promise<KeyRow | undefined> => {
    let cursor: string | null = null;
    do {
      const query: string = cursor === null ? "" : `?cursor=${cursor}`;
      const page: { keys: KeyRow[]; next_cursor: string | null } = await adminCall("GET", `/keys${query}`);
      const found = page.keys.find((row) => row.id === id);
      if (found !== undefined) return found;
      cursor = page.next_cursor;
    } while (cursor !== null);
    return undefined;
  };

  it("are set, listed without any secret, changed one by one, and taken away", async () => {
    const at = await limited({ requests_per_minute: 1, tokens_per_minute: null });
    const row = await find(at.keyId);
    expect(row).toEqual({
      id: at.keyId,
      owner: "acme",
      name: "limited",
      created_at: expect.any(Number),
      requests_per_minute: 1,
      tokens_per_minute: null,
      priority: "normal",
    });
    const path = `/keys/${at.keyId}`;
    expect(await adminCall("PATCH", path, { tokens_per_minute: 50_000 })).toEqual({
      ...row,
      tokens_per_minute: 50_000,
    });
    expect(await adminCall("PUT", path, { requests_per_minute: null, tokens_per_minute: null })).toEqual({
      ...row,
      requests_per_minute: null,
    });
    const machine = await join(at);
    for (let i = 0; i < 3; i++) expect(header(await answered(at, machine), "limit-requests")).toBeNull();
    await adminCall("PATCH", path, { requests_per_minute: 1 });
    await answered(at, machine);
    await adminCall("DELETE", path);
    expect(await find(at.keyId)).toBeUndefined();
  });

  it.each([
    ["requests_per_minute", 0],
    ["requests_per_minute", 1.5],
    ["tokens_per_minute", "many"],
    ["tokens_per_minute", -1],
    ["tokens_per_minute", 1_000_000_001],
  ])("are refused if they make no sense: %s %j", async (field, value) => {
    const body = { owner: "acme", name: "n", [field]: value };
    expect(await errorOf(await callAdmin("POST", "/keys", body))).toMatchObject({
      status: 400,
      param: field,
    });
    const { id } = await adminCall<{ id: string }>("POST", "/keys", { owner: "acme", name: "n" });
    expect(await errorOf(await callAdmin("PATCH", `/keys/${id}`, { [field]: value }))).toMatchObject({
      status: 400,
      param: field,
    });
  });

  it("of a key that is not there are 404", async () => {
    for (const id of ["none", "0".repeat(18)]) {
      const response = await callAdmin("PATCH", `/keys/${id}`, { tokens_per_minute: 5 });
      expect(await errorOf(response)).toMatchObject({ status: 404, code: "not_found" });
      expect(await testEnv.KEYS.get(`key:${id}`)).toBeNull();
    }
  });

  it("are none for a key that was made before there were any, and its priority is a usual one", async () => {
    const at = await scene();
    const name = `key:${at.keyId}`;
    const record = JSON.parse((await testEnv.KEYS.get(name)) ?? "") as Record<string, unknown>;
    delete record["limits"];
    delete record["priority"];
    await testEnv.KEYS.put(name, JSON.stringify(record));
    const none = { requests_per_minute: null, tokens_per_minute: null };
    expect(await find(at.keyId)).toMatchObject({ ...none, priority: "normal" });
  });
});

/** The machine answers what runs, is then asked by `user`, and answers him and one more. */
async function expectNext(machine: FakeProvider, running: Message, user: string): Promise<void> {
  machine.answer(running, "{}");
  const next = await machine.next("inference_request");
  expect(next["body"]).toMatchObject({ user });
  machine.answer(next, "{}");
  machine.answer(await machine.next("inference_request"), "{}");
}

describe("a key with a priority", () => {
  it("is served before keys of a lower one that wait longer", async () => {
    const at = await scene({ max_concurrency: 1 });
    const machine = await join(at);
    const { id } = await adminCall<{ id: string }>("POST", "/keys", { owner: "acme", name: "n" });
    expect(await adminCall("PATCH", `/keys/${id}`, { priority: "low" })).toMatchObject({ priority: "low" });
    const high = await adminCall<{ key: string }>("POST", "/keys", {
      owner: "acme",
      name: "n",
      priority: "high",
    });
    // On a slow machine the other one would wait so long that it rises above this one.
    await stopClock();
    const first = chat(at);
    const running = await machine.next("inference_request");
    const late = chat(at);
    await untilQueued(at, 1);
    const urgent = chat({ ...at, apiKey: high.key }, { user: "urgent" });
    await untilQueued(at, 2);
    await expectNext(machine, running, "urgent");
    expect((await Promise.all([first, late, urgent])).map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it("does not wait, by which a low one rises, while its client is still sending", async () => {
    const at = await scene({ max_concurrency: 1 });
    const machine = await join(at);
    const low = await adminCall<{ key: string }>("POST", "/keys", {
      owner: "acme",
      name: "n",
      priority: "low",
    });
    await stopClock();
    const first = chat(at);
    const running = await machine.next("inference_request");
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const body = chatBody(at, { user: "slow" });
    const slow = chat(
      { ...at, apiKey: low.key },
      {},
      { headers: { authorization: `Bearer ${low.key}` }, body: readable },
    );
    await writer.write(new TextEncoder().encode(body.slice(0, 9)));
    // By then the Worker has begun to read it.
    expect((await fetchEdge("/v1/models", { headers: { authorization: `Bearer ${low.key}` } })).status).toBe(
      200,
    );
    vi.setSystemTime(Date.now() + 5000);
    const prompt = chat(at, { user: "prompt" });
    await untilQueued(at, 1);
    await writer.write(new TextEncoder().encode(body.slice(9)));
    await writer.close();
    await untilQueued(at, 2);
    await expectNext(machine, running, "prompt");
    expect((await Promise.all([first, slow, prompt])).map(({ status }) => status)).toEqual([200, 200, 200]);
  });
});
