import { describe, expect, it } from "vitest";

import { EngineError } from "../../provider/src/engine.ts";
import { AgentHarness, inTwoPools } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

describe("a request for the loaded model", () => {
  it("is accepted, streamed and completed", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    await harness.clock.advance(1000);
    socket.request(17);
    const run = harness.engine.lastRun();
    expect(run.request.body).toEqual({
      model: "alpha",
      messages: [{ role: "user", content: "hello" }],
      stream: true,
    });
    void run.write("Hi");
    void run.write(" there");
    run.finish();
    await settle();
    expect(socket.order.slice(socket.order.indexOf("inference_accepted"))).toEqual([
      "inference_accepted",
      "bytes",
      "bytes",
      "inference_complete",
    ]);
    expect(socket.streamText(17)).toBe("Hi there.");
    expect(socket.ofType("inference_complete")).toEqual([
      {
        type: "inference_complete",
        request_id: "req_17",
        stream: 17,
        usage: { prompt_tokens: 7, completion_tokens: 3, cached_tokens: 2 },
        finish_reason: "stop",
        timings: { queue_ms: 0, prefill_ms: 11.5, decode_ms: 22 },
      },
    ]);
  });

  it("costs at most one frame per flush interval, not one per token", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    for (const stream of [1, 2, 3, 4]) socket.request(stream);
    const { runs } = harness.engine.lastLoad().loaded;
    for (let token = 0; token < 200; token++) {
      for (const run of runs) void run.write("t");
      await harness.clock.advance(5);
    }
    expect(socket.frames.length).toBeLessThanOrEqual(25 + 4);
  });

  it("costs fewer frames if bytes are to be collected for longer, as the register's answer or a request says", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    const framesInTwoSeconds = async (): Promise<number> => {
      const before = socket.frames.length;
      for (let passed = 0; passed < 2000; passed += 5) {
        for (const run of harness.engine.lastLoad().loaded.runs) void run.write("t");
        await harness.clock.advance(5);
      }
      return socket.frames.length - before;
    };
    socket.request(1);
    expect(await framesInTwoSeconds()).toBeGreaterThan(45);
    socket.request(2, { flush_ms: 100 });
    expect(await framesInTwoSeconds()).toBeLessThan(23);
    socket.request(3);
    expect(await framesInTwoSeconds()).toBeLessThan(23);
    socket.request(4, { flush_ms: 40 });
    expect(await framesInTwoSeconds()).toBeGreaterThan(45);
    socket.registered({ pool: "alpha", pools: ["alpha"], flushMs: 100 });
    expect(await framesInTwoSeconds()).toBeLessThan(23);
  });

  it("keeps stream numbers of two sockets apart", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    alpha.request(1);
    beta.request(1);
    const { runs } = harness.engine.lastLoad().loaded;
    void runs[0]?.write("for alpha");
    void runs[1]?.write("for beta");
    alpha.receive({ type: "cancel", request_id: "req_1", stream: 1 });
    await settle();
    expect([alpha.streamText(1), beta.streamText(1)]).toEqual(["for alpha", "for beta"]);
    expect([alpha.errors(), beta.errors()]).toEqual([["1 cancelled/cancelled"], []]);
  });

  it("has texts made vectors, which are no tokens of an answer", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1, { endpoint: "/v1/embeddings", body: { model: "alpha", input: "To be" } });
    await settle();
    const run = harness.engine.lastRun();
    expect(run.request).toEqual({ task: "embeddings", body: { model: "alpha", input: "To be" } });
    void run.embed(0, Float32Array.of(1, 0));
    run.finish("stop", { promptTokens: 7, completionTokens: 0 });
    await settle();
    expect(socket.errors()).toEqual([]);
    expect(harness.agent.status().tokens).toBe(0);
  });

  it("[D3] refuses to make vectors before it has accepted to, if there is no memory for that", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    const { loaded } = harness.engine.lastLoad();
    const memory = Promise.withResolvers<void>();
    loaded.embeddings = memory.promise;
    const embeddings = { endpoint: "/v1/embeddings", body: { model: "alpha", input: "To be" } };
    socket.request(1, embeddings);
    await settle();
    expect(socket.ofType("inference_accepted")).toEqual([]);
    memory.reject(new EngineError("capacity", "insufficient_memory", "no memory is left for embeddings"));
    await settle();
    expect(socket.errors()).toEqual(["1 capacity/insufficient_memory"]);
    expect(socket.ofType("inference_accepted")).toEqual([]);
    expect(loaded.runs).toEqual([]);
    // Chats go on, and so do vectors once there is memory.
    loaded.embeddings = Promise.resolve();
    socket.request(2);
    socket.request(3, embeddings);
    await settle();
    expect(loaded.runs.map(({ request }) => request.task)).toEqual(["chat", "embeddings"]);
  });

  it("ignores a second request on a stream that is open", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    socket.request(1);
    expect(harness.engine.lastLoad().loaded.runs).toHaveLength(1);
    expect(socket.errors()).toEqual([]);
  });
});

describe("[D3] a refusal comes before the request is accepted", () => {
  it.each([
    ["an endpoint it does not serve", { endpoint: "/v1/completions" }, "client/unsupported"],
    ["messages that are no array", { body: { messages: "hello" } }, "client/invalid_request"],
    [
      "a body nested so deeply that an engine's process may not take it",
      { body: { messages: [], metadata: JSON.parse(`${"[".repeat(300)}${"]".repeat(300)}`) as unknown } },
      "client/invalid_request",
    ],
    ["a model it does not have", { model_id: "omega" }, "capacity/not_assigned_model"],
  ])("for %s", async (_, fields, expected) => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1, fields);
    expect(socket.errors()).toEqual([`1 ${expected}`]);
    expect(socket.ofType("inference_accepted")).toHaveLength(0);
  });

  it("for one request more than there are slots, until one is free again", async () => {
    const harness = new AgentHarness({ slots: 2 });
    const socket = await harness.connected();
    for (const stream of [1, 2, 3]) socket.request(stream);
    expect(socket.errors()).toEqual(["3 capacity/no_free_slot"]);
    harness.engine.lastRun().finish();
    await settle();
    socket.request(4);
    expect(socket.errors()).toHaveLength(1);
  });

  it("counts the slots that the engine granted, not those it was asked for", async () => {
    const harness = new AgentHarness({ slots: 4 });
    harness.engine.grantSlots = 1;
    const socket = await harness.connected();
    expect(socket.heartbeat().max_concurrency).toBe(1);
    socket.request(1);
    socket.request(2);
    expect(socket.errors()).toEqual(["2 capacity/no_free_slot"]);
  });
});

describe("[H12] an unmanaged machine and a model that is not loaded", () => {
  const both = ["alpha", "beta"];

  it("swaps when nothing runs: unloads, loads, and only then accepts", async () => {
    const harness = new AgentHarness({ models: both });
    const socket = await harness.connected(both);
    harness.engine.holdLoads = true;
    socket.request(1, { model_id: "beta" });
    await settle();
    expect(harness.engine.events).toEqual(["load alpha", "ready alpha", "unload alpha", "load beta"]);
    expect(socket.ofType("inference_accepted")).toHaveLength(0);
    await harness.clock.advance(700);
    harness.engine.lastLoad().succeed();
    await settle();
    expect(socket.ofType("inference_accepted")).toHaveLength(1);
    harness.engine.lastRun().finish();
    await settle();
    expect(socket.ofType("inference_complete")[0]?.timings.queue_ms).toBe(700);
  });

  it("refuses while anything runs", async () => {
    const harness = new AgentHarness({ models: both });
    const socket = await harness.connected(both);
    socket.request(1);
    socket.request(2, { model_id: "beta" });
    expect(socket.errors()).toEqual(["2 capacity/no_free_slot"]);
    expect(harness.engine.events).toEqual(["load alpha", "ready alpha"]);
  });

  it("refuses what arrives for another model during the swap", async () => {
    const harness = new AgentHarness({ models: both });
    const socket = await harness.connected(both);
    harness.engine.holdLoads = true;
    socket.request(1, { model_id: "beta" });
    socket.request(2, { model_id: "alpha" });
    expect(socket.errors()).toEqual(["2 capacity/switching_model"]);
  });

  it("lets further requests for the model that is being loaded wait for the same load", async () => {
    const harness = new AgentHarness({ models: both, slots: 2 });
    const socket = await harness.connected(both);
    harness.engine.holdLoads = true;
    for (const stream of [1, 2, 3]) socket.request(stream, { model_id: "beta" });
    await settle();
    expect(socket.errors()).toEqual(["3 capacity/no_free_slot"]);
    harness.engine.lastLoad().succeed();
    await settle();
    expect(harness.engine.loads.map(({ model }) => model.id)).toEqual(both);
    expect(socket.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([1, 2]);
  });

  it("refuses those who waited beyond the slots that the engine granted", async () => {
    const harness = new AgentHarness({ models: both, slots: 2 });
    const socket = await harness.connected(both);
    harness.engine.grantSlots = 1;
    for (const stream of [1, 2]) socket.request(stream, { model_id: "beta" });
    await settle();
    expect(socket.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([1]);
    expect(socket.errors()).toEqual(["2 capacity/no_free_slot"]);
  });

  it("lets the first request wait for the load at the start", async () => {
    const harness = new AgentHarness({ holdLoads: true });
    const socket = await harness.connected();
    socket.request(1);
    harness.engine.lastLoad().succeed();
    await settle();
    expect(harness.engine.loads).toHaveLength(1);
    expect(socket.ofType("inference_accepted")).toHaveLength(1);
  });

  it("refuses with the reason if the load fails", async () => {
    const harness = new AgentHarness({ models: both });
    const socket = await harness.connected(both);
    harness.engine.holdLoads = true;
    socket.request(1, { model_id: "beta" });
    await settle();
    harness.engine.lastLoad().fail(new EngineError("capacity", "insufficient_memory", "needs 20 GB"));
    await settle();
    expect(socket.errors()).toEqual(["1 capacity/insufficient_memory"]);
    expect(socket.ofType("inference_accepted")).toHaveLength(0);
  });

  it("[D3] lets a request whose deadline passes during the load go elsewhere", async () => {
    const harness = new AgentHarness({ models: both });
    const socket = await harness.connected(both);
    harness.engine.holdLoads = true;
    socket.request(1, { model_id: "beta", deadline_ms: 5000 });
    await harness.clock.advance(5000);
    expect(socket.errors()).toEqual(["1 capacity/switching_model"]);
    harness.engine.lastLoad().succeed();
    await settle();
    expect(harness.engine.lastLoad().loaded.runs).toHaveLength(0);
  });

  it("forgets a request that is cancelled during the load", async () => {
    const harness = new AgentHarness({ models: both });
    const socket = await harness.connected(both);
    harness.engine.holdLoads = true;
    socket.request(1, { model_id: "beta" });
    socket.receive({ type: "cancel", request_id: "req_1", stream: 1 });
    expect(socket.errors()).toEqual(["1 cancelled/cancelled"]);
    await settle();
    harness.engine.lastLoad().succeed();
    await settle();
    expect(harness.engine.lastLoad().loaded.runs).toHaveLength(0);
    await harness.clock.advance(250);
    expect(socket.heartbeat()).toMatchObject({ running: 0, loaded_models: ["beta"] });
  });
});

describe("[F15] what an engine throws", () => {
  it.each([
    ["client", "context_length_exceeded", "1 client/context_length_exceeded"],
    ["fault", "engine_crashed", "1 fault/engine_crashed"],
    // Nothing is a refusal any more once the request was accepted (D3).
    ["capacity", "insufficient_memory", "1 fault/insufficient_memory"],
  ] as const)("of class %s and code %s is reported as %s", async (errorClass, code, expected) => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    harness.engine.lastRun().fail(new EngineError(errorClass, code, "because"));
    await settle();
    expect(socket.errors()).toEqual([expected]);
  });

  it("of no class at all is a fault", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    harness.engine.lastRun().fail(new TypeError("x is not a function"));
    await settle();
    expect(socket.errors()).toEqual(["1 fault/engine_error"]);
  });

  it("is logged under the request's id, by which the coordinator's log has it, too", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    harness.engine.lastRun().fail(new EngineError("fault", "engine_crashed", "because"));
    await settle();
    expect(harness.logged).toContainEqual(
      'request failed {"request":"req_1","model":"alpha","class":"fault","code":"engine_crashed","detail":"because"}',
    );
  });

  it("never brings words of a request into the log", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1, { body: { messages: [{ role: "user", content: "my secret" }] } });
    void harness.engine.lastRun().write("my secret answer");
    harness.engine.lastRun().fail(new EngineError("client", "invalid_request", "bad value: my secret"));
    await settle();
    expect(harness.logged.join("\n")).not.toContain("secret");
  });
});
