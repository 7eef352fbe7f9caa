import { describe, expect, it } from "vitest";

import { EngineError } from "../../provider/src/engine.ts";
import { AgentHarness, type FakeSocket } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

/** What a managed machine does when its owner asks for another model (H21, F2). */

const MODELS = ["alpha", "beta", "gamma"];
const FOR_OWNER = { model_id: "beta", owner_bypass: true };

/** Holds alpha by epoch 5; from here on a test ends each load itself. */
async function holdingAlpha(slots = 2): Promise<{ harness: AgentHarness; socket: FakeSocket }> {
  const harness = new AgentHarness({ models: MODELS, slots });
  const socket = await harness.connected(["alpha"]);
  socket.assign("alpha", 5);
  await harness.clock.advance(1000);
  harness.engine.holdLoads = true;
  return { harness, socket };
}

const events = (harness: AgentHarness): string[] => harness.engine.events.slice(3);

async function finishLoad(harness: AgentHarness): Promise<void> {
  harness.engine.lastLoad().succeed();
  await settle();
}

describe("[F2] [H21] an owner's request on a managed machine", () => {
  it("for the assigned model just runs", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1);
    socket.request(2, { owner_bypass: true });
    expect(socket.ofType("inference_accepted")).toHaveLength(2);
    expect(socket.heartbeat().accepting).toBe(true);
    expect(events(harness)).toEqual([]);
  });

  it("for another model: refuses what waits for memory beside the one that it leaves", async () => {
    const { harness, socket } = await holdingAlpha();
    const memory = Promise.withResolvers<void>();
    const { loaded } = harness.engine.lastLoad();
    loaded.embeddings = memory.promise;
    socket.request(1, { endpoint: "/v1/embeddings", body: { model: "alpha", input: "To be" } });
    socket.request(2, FOR_OWNER);
    memory.reject(new EngineError("fault", "unloaded", "the model was unloaded"));
    await settle();
    expect(socket.errors()).toEqual(["1 capacity/switching_model"]);
    await finishLoad(harness);
    expect(socket.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([2]);
  });

  it("for another model: swaps, serves it, swaps back and accepts again", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1, FOR_OWNER);
    expect(socket.heartbeat()).toMatchObject({
      accepting: false,
      assignment: { model_id: "alpha", epoch: 5 },
    });
    await settle();
    await finishLoad(harness);
    expect(socket.ofType("inference_accepted")).toHaveLength(1);
    expect(socket.heartbeat()).toMatchObject({ accepting: false, loaded_models: ["beta"] });
    void harness.engine.lastRun().write("for the owner");
    harness.engine.lastRun().finish();
    await settle();
    expect(socket.ofType("inference_complete")).toHaveLength(1);
    expect(socket.heartbeat().accepting).toBe(false);
    await finishLoad(harness);
    expect(events(harness)).toEqual([
      "unload alpha",
      "load beta",
      "ready beta",
      "unload beta",
      "load alpha",
      "ready alpha",
    ]);
    expect(socket.heartbeat()).toMatchObject({ accepting: true, loaded_models: ["alpha"] });
    expect(socket.statuses()).toEqual(["alpha 5 succeeded", "alpha 5 succeeded"]);
    socket.request(2);
    expect(socket.ofType("inference_accepted")).toHaveLength(2);
    expect(harness.saves).toHaveLength(1);
  });

  it("drains what runs first, by the rules of every drain", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1);
    socket.request(2);
    void harness.engine.lastLoad().loaded.runs[0]?.write("a");
    socket.request(3, FOR_OWNER);
    expect(socket.errors()).toEqual([]);
    await harness.clock.advance(30_000);
    expect(socket.errors()).toEqual(["2 capacity/switching_model"]);
    expect(events(harness)).toEqual([]);
    harness.engine.lastLoad().loaded.runs[0]?.finish();
    await settle();
    await finishLoad(harness);
    expect(socket.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([1, 2, 3]);
  });

  it("refuses the public meanwhile, and the owner for a third model", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1, FOR_OWNER);
    socket.request(2);
    socket.request(3, { model_id: "gamma", owner_bypass: true });
    await settle();
    await finishLoad(harness);
    socket.request(4, { model_id: "beta" });
    socket.request(5);
    expect(socket.errors()).toEqual([2, 3, 4, 5].map((stream) => `${stream} capacity/switching_model`));
    harness.engine.lastRun().finish();
    await settle();
    // On the way back the visit is over.
    socket.request(6, FOR_OWNER);
    expect(socket.errors().at(-1)).toBe("6 capacity/switching_model");
  });

  it("shares the visit with the owner's other requests, up to the slots", async () => {
    const { harness, socket } = await holdingAlpha(2);
    for (const stream of [1, 2, 3]) socket.request(stream, FOR_OWNER);
    expect(socket.errors()).toEqual(["3 capacity/no_free_slot"]);
    await settle();
    await finishLoad(harness);
    harness.engine.lastLoad().loaded.runs[0]?.finish();
    await settle();
    socket.request(4, FOR_OWNER);
    expect(socket.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([1, 2, 4]);
    expect(events(harness)).toEqual(["unload alpha", "load beta", "ready beta"]);
  });

  it("comes back if the owner's model cannot be loaded", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1, FOR_OWNER);
    await settle();
    harness.engine.lastLoad().fail(new EngineError("capacity", "insufficient_memory", "too big"));
    await settle();
    expect(socket.errors()).toEqual(["1 capacity/insufficient_memory"]);
    await finishLoad(harness);
    expect(socket.heartbeat()).toMatchObject({ accepting: true, loaded_models: ["alpha"] });
  });

  it("comes back if the owner has gone before the model was loaded", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1, FOR_OWNER);
    socket.receive({ type: "cancel", request_id: "req_1", stream: 1 });
    await settle();
    await finishLoad(harness);
    await finishLoad(harness);
    expect(socket.heartbeat()).toMatchObject({ accepting: true, loaded_models: ["alpha"] });
    expect(harness.agent.status()).toMatchObject({ state: "serving", model: "alpha", running: 0 });
  });

  it("tries again if the assigned model does not load on the way back", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1, FOR_OWNER);
    await settle();
    await finishLoad(harness);
    harness.engine.lastRun().finish();
    await settle();
    harness.engine.lastLoad().fail();
    await harness.clock.advance(5000);
    await finishLoad(harness);
    expect(socket.statuses().slice(1)).toEqual([
      "alpha 5 loading 0",
      "alpha 5 loading 0",
      "alpha 5 succeeded",
    ]);
    expect(socket.heartbeat()).toMatchObject({ accepting: true, loaded_models: ["alpha"] });
  });

  it("does not call the order succeeded while it is away", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1, FOR_OWNER);
    await settle();
    await finishLoad(harness);
    socket.assign("alpha", 5);
    expect(socket.statuses().at(-1)).toBe("alpha 5 loading 0");
    expect(socket.errors()).toEqual([]);
  });
});

describe("[H21] a newer order during a visit", () => {
  it("ends the owner's request and goes its own way", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1, FOR_OWNER);
    await settle();
    await finishLoad(harness);
    void harness.engine.lastRun().write("half");
    socket.assign("gamma", 6, { pools: ["alpha", "gamma"] });
    await settle();
    expect(socket.errors()).toEqual(["1 capacity/switching_model"]);
    await finishLoad(harness);
    expect(events(harness).slice(3)).toEqual(["save gamma 6", "unload beta", "load gamma", "ready gamma"]);
    expect(socket.heartbeat()).toMatchObject({ accepting: true, loaded_models: ["gamma"] });
  });

  it("refuses the owner's request if it had not been accepted", async () => {
    const { harness, socket } = await holdingAlpha();
    socket.request(1);
    socket.request(2, FOR_OWNER);
    socket.assign("alpha", 6);
    await settle();
    expect(socket.errors()).toEqual(["2 capacity/switching_model"]);
    expect(socket.statuses().at(-1)).toBe("alpha 6 succeeded");
    expect(events(harness)).toEqual(["save alpha 6"]);
  });

  it("lets the request go on if it orders that very model, or none", async () => {
    for (const model of ["beta", null]) {
      const { harness, socket } = await holdingAlpha();
      socket.request(1, FOR_OWNER);
      await settle();
      await finishLoad(harness);
      socket.assign(model, 6, { pools: ["alpha", "beta"] });
      await settle();
      harness.engine.lastRun().finish();
      await settle();
      expect(socket.ofType("inference_complete")).toHaveLength(1);
      expect(events(harness).slice(3)).toEqual([`save ${model} 6`]);
      expect(socket.heartbeat().accepting).toBe(true);
    }
  });
});

it("an owner's request on an unmanaged machine is like any other", async () => {
  const harness = new AgentHarness({ models: MODELS });
  const socket = await harness.connected(["alpha"]);
  socket.request(1);
  socket.request(2, FOR_OWNER);
  expect(socket.errors()).toEqual(["2 capacity/no_free_slot"]);
});

it("a graceful stop during a visit finishes the owner's request and swaps nothing back", async () => {
  const { harness, socket } = await holdingAlpha();
  socket.request(1, FOR_OWNER);
  await settle();
  await finishLoad(harness);
  harness.agent.stop();
  harness.engine.lastRun().finish();
  await harness.clock.advance(3000);
  await harness.agent.finished;
  expect(socket.ofType("inference_complete")).toHaveLength(1);
  expect(events(harness)).toEqual(["unload alpha", "load beta", "ready beta", "unload beta"]);
  expect(harness.clock.pending()).toBe(0);
});
