import { describe, expect, it, vi } from "vitest";

import {
  RESPONSES_CONNECTION_MS,
  RESPONSES_PER_CONNECTION,
  WAITING_ON_CONNECTION_MAX,
} from "../../core/limits.ts";
import { MAX_REQUEST_BODY_BYTES } from "../../protocol/limits.ts";
import { ResponsesConnection } from "../../worker/responses-connection.ts";
import { join } from "./fake-provider.ts";
import { answered, CALL, chunk, open, ResponsesClient, say, TOOLS } from "./responses-client.ts";
import {
  adminCall,
  errorOf,
  fetchEdge,
  scene,
  setFlag,
  stopClock,
  untilEmpty,
  untilQueued,
} from "./scene.ts";

const LIMIT_REACHED = "websocket_connection_limit_reached";

describe("the Responses API over a WebSocket", () => {
  it("gives the events of the HTTP stream, in its order and under its numbers", async () => {
    const at = await scene();
    const machine = await join(at);
    const body = { model: at.model, input: "hi", instructions: "be brief", tools: TOOLS };
    const pending = fetchEdge("/v1/responses", {
      method: "POST",
      headers: { authorization: `Bearer ${at.apiKey}` },
      body: JSON.stringify({ ...body, stream: true }),
    });
    const posted = await machine.next("inference_request");
    say(machine, posted, { reasoning_content: "hm" }, { content: "ho" }, { tool_calls: [CALL] });
    const text = await (await pending).text();
    const expected = [...text.matchAll(/^data: (.*)$/gm)].map(([, json = ""]) => JSON.parse(json) as object);

    const client = await open(at);
    client.create(body);
    const request = await machine.next("inference_request");
    expect(request["body"]).toEqual(posted["body"]);
    say(machine, request, { reasoning_content: "hm" }, { content: "ho" }, { tool_calls: [CALL] });
    const events = await client.turn();
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual([...events.keys()]);
    expect(events.map(anonymous)).toEqual(expected.map(anonymous));
  });

  it("is refused without a valid key and without an upgrade", async () => {
    const at = await scene();
    for (const [apiKey, headers, status] of [
      ["pk_wrong", { upgrade: "websocket" }, 401],
      [at.apiKey, {}, 426],
    ] as const) {
      const response = await fetchEdge("/v1/responses", {
        headers: { ...headers, authorization: `Bearer ${apiKey}` },
      });
      expect((await errorOf(response)).status).toBe(status);
    }
    // Some clients that are no pages name an origin all the same.
    const response = await fetchEdge("/v1/responses", {
      headers: { upgrade: "websocket", authorization: `Bearer ${at.apiKey}`, origin: "http://edge" },
    });
    expect(response.status).toBe(101);
    response.webSocket?.accept();
    response.webSocket?.close();
  });

  it("answers what it cannot take with an error event and stays open", async () => {
    const at = await scene();
    const machine = await join(at);
    const client = await open(at);
    for (const [frame, status, code, param] of [
      ["{no json", 400, "invalid_request", null],
      [new Uint8Array([1, 2]).buffer, 400, "invalid_request", null],
      ["[]", 400, "invalid_request", null],
      [{ type: "response.cancel" }, 400, "invalid_request", "type"],
      [{ stream_id: "" }, 400, "invalid_request", "stream_id"],
      [{ input: "hi" }, 400, "invalid_request", "model"],
      [{ model: at.model }, 400, "invalid_request", "input"],
      [{ model: "nope", input: "hi" }, 404, "model_not_found", "model"],
      [{ model: at.model, input: "hi", background: true }, 400, "unsupported", "background"],
      [{ model: at.model, input: "hi", generate: false }, 400, "unsupported", "generate"],
      [{ model: at.model, input: "x".repeat(16 * 1024 * 1024) }, 413, "request_too_large", null],
    ] as const) {
      if (typeof frame === "string" || frame instanceof ArrayBuffer) client.send(frame);
      else client.create(frame);
      expect(await client.turn()).toEqual([
        { type: "error", status, error: expect.objectContaining({ code, param }) as object },
      ]);
    }
    await answered(client, machine, { model: at.model, input: "hi" });
  });

  it("checks the key of each request, and gives each an id of its own", async () => {
    const at = await scene();
    const machine = await join(at);
    const client = await open(at);
    const first = await answered(client, machine, { model: at.model, input: "hi" });
    const second = await answered(client, machine, { model: at.model, input: "hi" });
    expect(first.request["request_id"]).toBe(`req_${first.id.slice("resp_".length)}`);
    expect(second.id).not.toBe(first.id);
    await adminCall("DELETE", `/keys/${at.keyId}`);
    client.create({ model: at.model, input: "hi" });
    expect(await client.turn()).toMatchObject([
      { type: "error", status: 401, error: { code: "invalid_api_key" } },
    ]);
  });

  it("a refusal says when to come back, as its headers do on HTTP", async () => {
    const at = await scene();
    const machine = await join(at);
    await setFlag("pool_exhausted_429", "on");
    await machine.hasHeardAll(at);
    machine.heartbeat({ accepting: false });
    machine.close();
    await untilEmpty(at);
    const client = await open(at);
    // The second one may be refused by the edge itself.
    for (const stream_id of ["a", "b"]) {
      client.create({ model: at.model, input: "hi", stream_id });
      expect(await client.turn()).toMatchObject([
        {
          type: "error",
          status: 429,
          stream_id,
          error: {
            type: "rate_limit_exceeded",
            code: "pool_exhausted",
            headers: {
              "retry-after": expect.stringMatching(/^\d+$/) as string,
              "retry-after-ms": expect.stringMatching(/^\d+$/) as string,
              "x-pool-reason": "pool_exhausted",
              "x-request-id": expect.stringMatching(/^req_/) as string,
            },
          },
        },
      ]);
    }
    await setFlag("pool_exhausted_429", "off");
  });

  it("each request counts against the limits of its key", async () => {
    const at = await scene();
    const machine = await join(at);
    const limits = { requests_per_minute: 1 };
    const { key } = await adminCall<{ key: string }>("POST", "/keys", { owner: "o", name: "n", ...limits });
    const client = await open({ ...at, apiKey: key });
    await answered(client, machine, { model: at.model, input: "hi" });
    client.create({ model: at.model, input: "hi" });
    expect(await client.turn()).toMatchObject([
      {
        status: 429,
        error: { code: "rate_limited", headers: { "x-ratelimit-limit-requests": "1" } },
      },
    ]);
  });

  it("takes requests one after the other, in their order, errors too", async () => {
    const at = await scene();
    const machine = await join(at);
    const client = await open(at);
    client.create({ model: at.model, input: "one", stream_id: "a" });
    client.send("{no json");
    client.create({ model: at.model, input: "two", stream_id: "b" });
    const one = await machine.next("inference_request");
    machine.accept(one);
    machine.bytes(one, chunk({ content: "1" }));
    await client.event();
    expect(machine.unread).not.toContain("inference_request");
    machine.finish(one);
    expect((await client.turn()).map(({ stream_id }) => stream_id)).toEqual(
      expect.not.arrayContaining(["b", undefined]),
    );
    expect(await client.turn()).toMatchObject([{ type: "error", error: { code: "invalid_request" } }]);
    say(machine, await machine.next("inference_request"), { content: "2" });
    const two = await client.turn();
    expect(new Set(two.map(({ stream_id }) => stream_id))).toEqual(new Set(["b"]));
    expect(two.at(-1)).toMatchObject({ type: "response.completed", response: { output: [{}] } });
  });
});

it.each([
  ["an error page", 500, "internal", new Response("<html>", { status: 500 })],
  ["a stream without an end", 502, "provider_error", new Response(": keep-alive\n\n")],
  ["an event that makes no sense", 500, "internal", new Response("data: {}\n\n")],
])("%s is an error event as well", async (_, status, code, answer) => {
  const { client } = answeredBy(() => Promise.resolve(answer));
  client.create({ model: "m", input: "hi", stream_id: "a" });
  expect(await client.turn()).toMatchObject([{ type: "error", status, stream_id: "a", error: { code } }]);
});

/** A client whose request a machine has accepted. */
async function running() {
  const at = await scene();
  const machine = await join(at);
  const client = await open(at);
  client.create({ model: at.model, input: "hi" });
  const request = await machine.next("inference_request");
  machine.accept(request);
  return { at, machine, client, request };
}

describe("[F7] a client that leaves its WebSocket frees the slot", () => {
  it("before the first byte", async () => {
    const { machine, client, request } = await running();
    client.close();
    expect(await machine.next("cancel")).toMatchObject({ request_id: request["request_id"] });
  });

  it("in the middle of the answer, and what waits is never asked", async () => {
    const { at, machine, client, request } = await running();
    client.create({ model: at.model, input: "more" });
    machine.bytes(request, chunk({ content: "ho" }));
    await client.event();
    client.close();
    expect(await machine.next("cancel")).toMatchObject({ request_id: request["request_id"] });
    await machine.hasHeardAll(at);
    expect(machine.unread).not.toContain("inference_request");
    expect((await client.closed).code).toBe(1000);
  });

  it("while it waits for a slot", async () => {
    const at = await scene({ max_concurrency: 1 });
    const machine = await join(at);
    // It does not get out of the line by waiting too long.
    await stopClock();
    const [busy, waiting] = [await open(at), await open(at)];
    busy.create({ model: at.model, input: "hi" });
    await machine.next("inference_request");
    waiting.create({ model: at.model, input: "hi" });
    await untilQueued(at, 1);
    waiting.close();
    await untilQueued(at, 0);
    busy.close();
    await machine.next("cancel");
  });
});

describe("a connection ends", () => {
  it("after an hour, but not before what runs has ended", async () => {
    const at = await scene();
    await stopClock({ waits: true });
    const [idle, busy] = [await open(at), await open(at)];
    vi.setSystemTime(Date.now() + RESPONSES_CONNECTION_MS - 10_000);
    const machine = await join(at);
    busy.create({ model: at.model, input: "hi" });
    busy.create({ model: at.model, input: "more" });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, chunk({ content: "ho" }));
    await busy.event();
    vi.setSystemTime(Date.now() + 20_000);
    const limitReached = { type: "error", status: 400, error: { code: LIMIT_REACHED } };
    expect(await idle.turn()).toMatchObject([limitReached]);
    expect(await idle.closed).toEqual({ code: 1001, reason: LIMIT_REACHED });
    machine.finish(request);
    expect((await busy.turn()).at(-1)).toMatchObject({ type: "response.completed" });
    expect(await busy.turn()).toMatchObject([limitReached]);
    expect(await busy.closed).toEqual({ code: 1001, reason: LIMIT_REACHED });
    await machine.hasHeardAll(at);
    expect(machine.unread).not.toContain("inference_request");
  });

  it("after as many requests as the platform lets it send on", async () => {
    const at = await scene();
    const client = await open(at);
    for (let taken = 0; taken < RESPONSES_PER_CONNECTION; taken++) {
      client.send("{}");
      expect(await client.turn()).toMatchObject([{ error: { code: "invalid_request" } }]);
    }
    expect(await client.turn()).toMatchObject([{ error: { code: LIMIT_REACHED } }]);
    expect(await client.closed).toEqual({ code: 1001, reason: LIMIT_REACHED });
  });

  it("when the platform makes no further call for it", async () => {
    const { client, connection } = answeredBy(() => Promise.reject(new Error("too many invocations")));
    client.create({ model: "m", input: "hi" });
    client.create({ model: "m", input: "hi" });
    expect(await client.turn()).toMatchObject([{ type: "error", error: { code: LIMIT_REACHED } }]);
    expect(await client.closed).toEqual({ code: 1001, reason: LIMIT_REACHED });
    expect(connection.over.aborted).toBe(true);
  });

  it("when too many requests wait, and with it the one that runs", async () => {
    const { machine, client, request } = await running();
    for (let waiting = 0; waiting <= WAITING_ON_CONNECTION_MAX; waiting++) client.send("{}");
    expect(await client.turn()).toMatchObject([{ type: "error", status: 429, error: { code: "slow_down" } }]);
    expect(await client.closed).toEqual({ code: 1008, reason: "slow_down" });
    expect(await machine.next("cancel")).toMatchObject({ request_id: request["request_id"] });
  });

  it("holds as many as may wait", async () => {
    const { connection } = answeredBy(() => new Promise(() => undefined));
    const create = JSON.stringify({ type: "response.create", model: "m", input: "hi" });
    for (let taken = 0; taken <= WAITING_ON_CONNECTION_MAX; taken++) void connection.receive(create);
    expect(connection.over.aborted).toBe(false);
    void connection.receive(create);
    expect(connection.over.aborted).toBe(true);
  });

  it("ends when those that wait are longer together than one request may be", async () => {
    const { client, connection } = answeredBy(() => new Promise(() => undefined));
    const create = JSON.stringify({ type: "response.create", model: "m", input: "hi" });
    for (const text of [create, "x".repeat(MAX_REQUEST_BODY_BYTES)]) void connection.receive(text);
    expect(connection.over.aborted).toBe(false);
    void connection.receive("x");
    expect(connection.over.aborted).toBe(true);
    expect(await client.closed).toEqual({ code: 1008, reason: "slow_down" });
  });
});

/** A connection whose requests go nowhere, but get such answers. */
function answeredBy(post: () => Promise<Response>): {
  client: ResponsesClient;
  connection: ResponsesConnection;
} {
  const { 0: near, 1: far } = new WebSocketPair();
  far.accept();
  const connection = new ResponsesConnection(far, post);
  far.addEventListener("message", ({ data }) => void connection.receive(String(data)));
  return { client: new ResponsesClient(near), connection };
}

/** Without what differs from answer to answer. */
function anonymous(event: object): unknown {
  return JSON.parse(
    JSON.stringify(event, (key, value: unknown) => (key.endsWith("_at") ? 0 : value)).replaceAll(
      /[0-9a-f]{32}/g,
      "0",
    ),
  );
}
