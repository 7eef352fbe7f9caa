import { describe, expect, it } from "vitest";

import { AgentHarness, type FakeSocket } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

/** Two sockets, registered in alpha and beta, a second after the last heartbeat. */
async function inTwoPools(): Promise<{ harness: AgentHarness; alpha: FakeSocket; beta: FakeSocket }> {
  const harness = new AgentHarness({ models: ["alpha", "beta"] });
  const alpha = await harness.connected(["alpha", "beta"]);
  const beta = harness.socket();
  beta.register({ pool: "beta", pools: ["alpha", "beta"] });
  await harness.clock.advance(1000);
  return { harness, alpha, beta };
}

it("tells a socket how the machine is as soon as it has registered", async () => {
  const harness = new AgentHarness();
  const socket = await harness.connected();
  expect(socket.heartbeat()).toEqual({
    type: "heartbeat",
    loaded_models: ["alpha"],
    running: 0,
    waiting: 0,
    max_concurrency: 4,
    memory_free_gb: 10,
    memory_pressure: 0.2,
    thermal_state: "nominal",
    accepting: true,
    assignment: null,
    context_length: 4096,
  });
});

describe("how long a prompt it takes", () => {
  it("a machine says of each model, as its owner has set it", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"], holdLoads: true });
    const socket = await harness.connected();
    expect(socket.ofType("register")[0]?.models).toMatchObject([
      { id: "alpha", context_length: 4096 },
      { id: "beta", context_length: 4096 },
    ]);
    expect(socket.heartbeat()).not.toHaveProperty("context_length");
  });

  it("a machine does not say before it knows, and says as soon as the model is loaded", async () => {
    const harness = new AgentHarness({ contextTokens: null, holdLoads: true });
    harness.engine.grantContext = 20_480;
    const socket = await harness.connected();
    expect(socket.ofType("register")[0]?.models[0]).not.toHaveProperty("context_length");
    harness.engine.lastLoad().succeed();
    await settle();
    expect(socket.heartbeat()).toMatchObject({ loaded_models: ["alpha"], context_length: 20_480 });
  });

  it("is said again when another load has taken less, and knows in the register of the next socket", async () => {
    const harness = new AgentHarness({ contextTokens: null });
    harness.engine.grantContext = 20_480;
    const socket = await harness.connected();
    harness.engine.grantContext = 8192;
    harness.engine.lastLoad().loaded.die();
    await harness.clock.advance(60_000);
    expect(socket.heartbeat()).toMatchObject({ loaded_models: ["alpha"], context_length: 8192 });
    socket.end(1006);
    await harness.clock.advance(60_000);
    const next = harness.socket();
    next.register({ pool: "alpha", pools: ["alpha"] });
    expect(next.ofType("register")[0]?.models).toMatchObject([{ context_length: 8192 }]);
  });
});

it("sends a heartbeat every heartbeat_ms though nothing changes", async () => {
  const harness = new AgentHarness();
  harness.agent.start();
  await settle();
  const socket = harness.socket();
  socket.register({ pool: "alpha", pools: ["alpha"], heartbeatMs: 10_000 });
  const before = socket.ofType("heartbeat").length;
  await harness.clock.advance(50_000);
  expect(socket.ofType("heartbeat").length - before).toBe(5);
});

describe("[H12] what is worth routing on goes to all sockets", () => {
  it("such as the number of running requests, but for the pool that has sent them all itself", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    const before = alpha.ofType("heartbeat").length;
    alpha.request(1);
    expect(beta.heartbeat().running).toBe(1);
    await harness.clock.advance(1000);
    harness.engine.lastRun().finish();
    await settle();
    expect(beta.heartbeat().running).toBe(0);
    expect(alpha.ofType("heartbeat")).toHaveLength(before);
  });

  it("to each pool as far as the requests are not its own", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    alpha.request(1);
    await harness.clock.advance(1000);
    beta.request(2);
    await harness.clock.advance(1000);
    expect([alpha.heartbeat().running, beta.heartbeat().running]).toEqual([2, 2]);
    const beats = alpha.ofType("heartbeat").length;
    // Beta's end is told to both: alpha knows one request of its own, and was told of two.
    harness.engine.lastRun().finish();
    await settle();
    expect([alpha.heartbeat().running, beta.heartbeat().running]).toEqual([1, 1]);
    expect(alpha.ofType("heartbeat")).toHaveLength(beats + 1);
  });

  it("such as a model that was swapped in, and what the engine grants it", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    harness.engine.grantSlots = 2;
    alpha.request(1, { model_id: "beta" });
    await harness.clock.advance(1000);
    for (const socket of [alpha, beta]) {
      expect(socket.heartbeat()).toMatchObject({ loaded_models: ["beta"], max_concurrency: 2, running: 1 });
    }
  });

  it("also after the clock was set back", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    harness.clock.set(-3_600_000);
    alpha.request(1);
    await harness.clock.advance(250);
    expect(beta.heartbeat().running).toBe(1);
  });

  it("such as that the machine gets hot or short of memory", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    harness.vitals = { memoryFreeGb: 1, memoryPressure: 0.95, thermalState: "serious" };
    await harness.clock.advance(15_000);
    for (const socket of [alpha, beta]) {
      expect(socket.heartbeat()).toMatchObject({ thermal_state: "serious", memory_pressure: 0.95 });
    }
  });
});

describe("heartbeats are few", () => {
  it("at most about four a second while requests come and go", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"], slots: 64 });
    const alpha = await harness.connected(["alpha", "beta"]);
    const beta = harness.socket();
    beta.register({ pool: "beta", pools: ["alpha", "beta"] });
    const before = beta.ofType("heartbeat").length;
    for (let i = 0; i < 60; i++) {
      alpha.request(i);
      await harness.clock.advance(50);
    }
    expect(beta.ofType("heartbeat").length - before).toBeLessThanOrEqual(13);
    expect(beta.heartbeat().running).toBe(60);
  });

  it("none because of requests to the only pool there is, which counts them itself", async () => {
    const harness = new AgentHarness({ slots: 2 });
    const socket = await harness.connected();
    await harness.clock.advance(1000);
    const before = socket.ofType("heartbeat").length;
    for (let i = 0; i < 5; i++) {
      socket.request(i);
      await harness.clock.advance(1000);
      harness.engine.lastRun().finish();
      await harness.clock.advance(1000);
    }
    expect(socket.ofType("heartbeat")).toHaveLength(before);
  });

  it("none because of free memory alone", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    const before = socket.ofType("heartbeat").length;
    for (let i = 0; i < 3; i++) {
      harness.vitals = { ...harness.vitals, memoryFreeGb: i };
      await harness.clock.advance(15_000);
    }
    expect(socket.ofType("heartbeat")).toHaveLength(before);
  });

  it("but a slot that a pool takes for taken is reported at once", async () => {
    const harness = new AgentHarness({ slots: 1 });
    const socket = await harness.connected();
    socket.request(1);
    await harness.clock.advance(20_000);
    socket.text("pong");
    // Something else made it say that one request runs.
    harness.vitals = { ...harness.vitals, thermalState: "fair" };
    await harness.clock.advance(15_000);
    expect(socket.heartbeat().running).toBe(1);
    harness.engine.lastRun().finish();
    await settle();
    expect(socket.heartbeat().running).toBe(0);
  });
});
