import { describe, expect, it } from "vitest";

import { type FakeProvider, HELLO, join, type Message } from "./fake-provider.ts";
import {
  advanceClock,
  chat,
  errorOf,
  poolOf,
  readText,
  scene,
  stopClock,
  untilQueued,
  type Scene,
} from "./scene.ts";

describe("a streamed answer", () => {
  it("reaches the client byte for byte, each piece as it comes", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true }, withId(at, "trace-7"));
    const request = await machine.next("inference_request");
    expect(request).toMatchObject({
      model_id: at.model,
      endpoint: "/v1/chat/completions",
      owner_bypass: false,
      body: { model: at.model, stream: true },
    });
    expect(request["request_id"]).toMatch(/^req_[0-9a-f]{32}$/);
    expect(request["deadline_ms"]).toBeGreaterThan(590_000);
    machine.accept(request);
    machine.bytes(request, "data: one\n\n");
    const response = await pending;
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "x-request-id": "trace-7",
      "x-pool-attempts": "1",
      "openai-processing-ms": expect.stringMatching(/^\d+$/) as string,
      "server-timing": expect.stringMatching(/^queue;dur=\d+, machine;dur=\d+$/) as string,
      "x-pool-queue-ms": expect.stringMatching(/^\d+$/) as string,
      "x-pool-machine": expect.stringMatching(/^[0-9a-f]{8}$/) as string,
    });
    const reader = response.body?.getReader();
    expect(await readText(reader)).toBe("data: one\n\n");
    machine.bytes(request, "data: é", "\n\n");
    expect(await readText(reader)).toBe("data: é\n\n");
    machine.finish(request);
    expect(await readText(reader)).toBe("data: [DONE]\n\n");
    expect(await reader?.read()).toMatchObject({ done: true });
  });

  it("gets a comment after 3 s without a byte", async () => {
    const at = await scene();
    const machine = await join(at);
    await stopClock();
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    await advanceClock(poolOf(at), 3250);
    const response = await pending;
    machine.answer(request);
    expect(await response.text()).toBe(`: keep-alive\n\n${HELLO}`);
  });

  it("that fails after its first byte ends with an error event and no [DONE]", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, "data: half\n\n");
    const response = await pending;
    machine.error(request, "fault", "engine_crashed");
    const text = await response.text();
    expect(text).toMatch(/^data: half\n\ndata: \{"error":\{[^\n]*\}\n\n$/);
    expect(JSON.parse(text.slice("data: half\n\ndata: ".length))).toMatchObject({
      error: { code: "provider_error", type: "server_error", param: null },
    });
  });

  it("that loses its machine after the first byte ends the same way", async () => {
    const at = await scene();
    const machine = await join(at);
    await join(at);
    const [pending, machineAsked, request] = await ask(at, [machine], { stream: true });
    machineAsked.accept(request);
    machineAsked.bytes(request, "data: half\n\n");
    const response = await pending;
    machineAsked.close();
    expect(await response.text()).toMatch(
      /^data: half\n\ndata: \{"error":.*"code":"provider_error".*\}\n\n$/,
    );
  });
});

describe("an answer that is not streamed", () => {
  it("comes whole, as JSON", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = chat(at);
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, '{"id":', '"é');
    machine.bytes(request, '"}');
    machine.complete(request);
    const response = await pending;
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(response.headers.get("x-request-id")).toBe(request["request_id"]);
    expect(await response.text()).toBe('{"id":"é"}');
  });
});

describe("an error before the first byte is a status:", () => {
  it.each([
    ["client", "context_length_exceeded", 400, "context_length_exceeded", "told to fail", "messages"],
    ["client", "bad_grammar", 400, "invalid_request", "told to fail", null],
    ["fault", "engine_crashed", 502, "provider_error", "engine_crashed", null],
  ])("%s/%s is %i %s", async (errorClass, code, status, told, message, param) => {
    const at = await scene();
    const machine = await join(at);
    for (const stream of [true, false]) {
      const pending = chat(at, { stream }, withId(at, "trace-8"));
      machine.error(await machine.next("inference_request"), errorClass, code);
      const response = await pending;
      expect(response.headers.get("x-request-id")).toBe("trace-8");
      expect(response.headers.get("content-type")).toBe("application/json");
      const error = await errorOf(response);
      expect(error).toMatchObject({ status, code: told, param });
      expect(error.message).toContain(message);
    }
  });

  it("refusals of all machines, for as long as it may wait, are 429 with a time to come back", async () => {
    const at = await scene();
    const machines = [await join(at), await join(at), await join(at)];
    await stopClock();
    const pending = chat(at);
    for (const passesMs of [6000, 250]) {
      for (const machine of machines) {
        void machine
          .next("inference_request")
          .then((request) => machine.error(request, "capacity", "no_free_slot"));
      }
      await untilQueued(at, 1);
      await advanceClock(poolOf(at), passesMs);
    }
    const response = await pending;
    expect(response.headers.get("retry-after")).toMatch(/^[1-9]$/);
    expect(response.headers.get("x-pool-reason")).toBe("queue_timeout");
    expect(response.headers.get("x-pool-attempts")).toBe("6");
    expect(await errorOf(response)).toMatchObject({
      status: 429,
      code: "queue_timeout",
      type: "rate_limit_exceeded",
    });
  });

  it("[C6] so is a wait in vain, also for a stream", async () => {
    const at = await scene({ max_concurrency: 1 });
    const machine = await join(at);
    await stopClock();
    const first = chat(at);
    const running = await machine.next("inference_request");
    const waiting = [chat(at, { stream: true }), chat(at)];
    await untilQueued(at, 2);
    await advanceClock(poolOf(at), 6250);
    for (const pending of waiting)
      expect(await errorOf(await pending)).toMatchObject({ status: 429, code: "queue_timeout" });
    machine.answer(running, "{}");
    expect((await first).status).toBe(200);
  });

  it("[C6] so is a full line", async () => {
    const at = await scene({ max_concurrency: 1 });
    const machine = await join(at);
    const clients = [new AbortController()];
    for (let i = 0; i < 33; i++) {
      const client = new AbortController();
      clients.push(client);
      void chat(at, {}, { signal: client.signal }).catch(() => undefined);
    }
    await machine.next("inference_request");
    await untilQueued(at, 32);
    expect(await errorOf(await chat(at))).toMatchObject({ status: 429, code: "queue_full" });
    for (const client of clients) client.abort();
    await untilQueued(at, 0);
  });
});

describe("trouble before the first byte moves a request to another machine:", () => {
  it.each<[string, (machine: FakeProvider, request: Message) => void]>([
    ["a refusal", (machine, request) => machine.error(request, "capacity", "switching_model")],
    ["a fault", (machine, request) => machine.error(request, "fault", "broken")],
    ["a closed socket", (machine) => machine.close()],
    ["a broken frame", (machine) => machine.sendBinary(new Uint8Array(3))],
    ["bytes before it accepted", (machine, request) => machine.bytes(request, "early")],
  ])("%s", async (_, happen) => {
    const at = await scene();
    const machines = [await join(at), await join(at)];
    const [pending, first, request] = await ask(at, machines, { stream: true });
    happen(first, request);
    const second = machines.find((machine) => machine !== first);
    const again = await second?.next("inference_request");
    expect(again?.["request_id"]).toBe(request["request_id"]);
    if (again !== undefined) second?.answer(again);
    expect(await (await pending).text()).toBe(HELLO);
  });
});

/** A request and the machine that got it. */
async function ask(
  at: Scene,
  machines: readonly FakeProvider[],
  fields: object,
): Promise<[Promise<Response>, FakeProvider, Message]> {
  const pending = chat(at, fields);
  for (;;) {
    const machine = machines.find(({ unread }) => unread.includes("inference_request"));
    if (machine !== undefined) return [pending, machine, await machine.next("inference_request")];
    await scheduler.wait(2);
  }
}

function withId(at: Scene, id: string): RequestInit {
  return { headers: { authorization: `Bearer ${at.apiKey}`, "x-request-id": id } };
}
