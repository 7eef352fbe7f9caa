import { describe, expect, it } from "vitest";

import { EngineError } from "../../provider/src/engine.ts";
import { AgentHarness, type FakeSocket } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

const MINUTE = 60_000;

describe("at the start", () => {
  it("loads the first model while it connects", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"], holdLoads: true });
    harness.agent.start();
    await settle();
    expect(harness.engine.events).toEqual(["load alpha"]);
    expect(harness.sockets).toHaveLength(1);
    expect(harness.engine.lastLoad().options).toMatchObject({ slots: 4, contextTokens: 4096 });
  });

  it("waits for the list of pools where the owner has chosen none: nobody asks for a model of no catalog", async () => {
    const models = ["alpha", "beta", "gamma"];
    const harness = new AgentHarness({ models, firstModel: null, holdLoads: true });
    harness.agent.start();
    await settle();
    expect(harness.engine.events).toEqual([]);
    harness.socket().refuse(404);
    await settle();
    harness.socket().register({ pool: "beta", pools: ["beta", "gamma"] });
    await settle();
    expect(harness.engine.events).toEqual(["load beta"]);
  });

  it("holds a model of the catalog, and not the next of its disk, in place of one that keeps failing", async () => {
    const models = ["alpha", "beta", "gamma"];
    const harness = new AgentHarness({ models, holdLoads: true });
    await harness.connected(["alpha", "gamma"]);
    for (let failure = 0; failure < 2; failure++) {
      harness.engine.lastLoad().fail();
      await harness.clock.advance(5000);
    }
    expect(harness.engine.events).toEqual(["load alpha", "load alpha", "load gamma"]);
  });

  it("says once that it serves when it is both connected and loaded", async () => {
    const harness = new AgentHarness({ holdLoads: true });
    await harness.connected();
    const serving = (): string[] => harness.logged.filter((line) => line.startsWith("serving"));
    expect(serving()).toEqual([]);
    harness.engine.lastLoad().succeed();
    await settle();
    expect(serving()).toEqual(['serving {"model":"alpha","pools":1}']);
  });

  it("holds the next model if the first one cannot be loaded", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"], holdLoads: true });
    await harness.connected(["alpha", "beta"]);
    harness.engine.lastLoad().fail();
    await harness.clock.advance(5000);
    harness.engine.lastLoad().fail();
    await harness.clock.advance(5000);
    expect(harness.engine.events).toEqual(["load alpha", "load alpha", "load beta"]);
  });
});

describe("when the engine dies", () => {
  it("ends open requests as faults, reports the model as not loaded and loads it again", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    await harness.clock.advance(1000);
    harness.engine.lastLoad().loaded.die();
    await settle();
    expect(socket.errors()).toEqual(["1 fault/engine_crashed"]);
    expect(socket.heartbeat()).toMatchObject({ loaded_models: [], running: 0, accepting: true });
    await harness.clock.advance(3000);
    expect(harness.engine.events.filter((event) => event === "ready alpha")).toHaveLength(2);
    expect(socket.heartbeat().loaded_models).toEqual(["alpha"]);
  });

  it("loads again for a request that comes before that", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    harness.engine.lastLoad().loaded.die();
    await settle();
    socket.request(1);
    await settle();
    expect(socket.ofType("inference_accepted")).toHaveLength(1);
    await harness.clock.advance(5000);
    expect(harness.engine.loads).toHaveLength(2);
  });

  it("loads the one again that died, not the first", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const socket = await harness.connected(["alpha", "beta"]);
    socket.request(1, { model_id: "beta" });
    await settle();
    harness.engine.lastLoad().loaded.die();
    await harness.clock.advance(5000);
    expect(harness.engine.loads.map(({ model }) => model.id)).toEqual(["alpha", "beta", "beta"]);
  });

  it("does not load while it is stopping", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    harness.agent.stop();
    harness.engine.lastLoad().loaded.die();
    await harness.clock.advance(5000);
    await harness.agent.finished;
    expect(harness.engine.loads).toHaveLength(1);
  });
});

describe("a model that fails twice within a minute", () => {
  async function crashTwice(models: readonly string[]): Promise<AgentHarness> {
    const harness = new AgentHarness({ models });
    await harness.connected(models);
    harness.engine.lastLoad().loaded.die();
    await harness.clock.advance(5000);
    harness.engine.lastLoad().loaded.die();
    await settle();
    return harness;
  }

  it("is not offered for ten minutes, and its owner is told", async () => {
    const harness = await crashTwice(["alpha"]);
    expect(harness.logged.join("\n")).toMatch(/check its file or server, and the free memory.*"reason":".+"/);
    expect(harness.socket().heartbeat()).toMatchObject({ accepting: false, loaded_models: [] });
    harness.socket().request(1);
    expect(harness.socket().errors()).toEqual(["1 capacity/not_assigned_model"]);
    const loads = harness.engine.loads.length;
    await harness.clock.advance(4 * MINUTE);
    expect(harness.engine.loads).toHaveLength(loads);
  });

  it("is tried again after that", async () => {
    const harness = await crashTwice(["alpha"]);
    for (let i = 0; i < 31; i++) {
      await harness.clock.advance(20_000);
      const socket = harness.socket();
      if (socket.order.length === 0) socket.register({ pool: "alpha", pools: ["alpha"] });
      socket.text("pong");
    }
    expect(harness.agent.status()).toMatchObject({ state: "serving", model: "alpha", pools: 1 });
    expect(harness.socket().sent[0]).toMatchObject({ type: "register", models: [{ id: "alpha" }] });
    expect(harness.socket().heartbeat().accepting).toBe(true);
  });

  it("is withdrawn by registering anew without it, if there are others", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const pools = ["alpha", "beta"];
    const alpha = await harness.connected(pools);
    const beta = harness.socket();
    beta.register({ pool: "beta", pools });
    beta.request(1);
    harness.engine.lastLoad().loaded.die();
    await harness.clock.advance(5000);
    harness.engine.lastLoad().loaded.die();
    await settle();
    expect([alpha.closedWith?.code, beta.closedWith?.code]).toEqual([1000, 1000]);
    expect(harness.open().map(({ pool }) => pool)).toEqual(["beta"]);
    harness.socket().open();
    expect(harness.socket().sent[0]).toMatchObject({ models: [{ id: "beta" }] });
    await harness.clock.advance(5000);
    expect(harness.agent.status().model).toBe("beta");
  });

  it("stays if it has answered in between", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    for (let i = 0; i < 4; i++) {
      harness.engine.lastLoad().loaded.die();
      await harness.clock.advance(5000);
      socket.request(i);
      harness.engine.lastRun().finish();
      await settle();
    }
    expect(socket.heartbeat().accepting).toBe(true);
  });

  it("is suspended after three failures in a row however long each took", async () => {
    const harness = new AgentHarness({ holdLoads: true });
    const socket = await harness.connected();
    for (let i = 0; i < 3; i++) {
      expect(socket.heartbeat().accepting).toBe(true);
      for (let step = 0; step < 4; step++) {
        await harness.clock.advance(20_000);
        socket.text("pong");
      }
      harness.engine.lastLoad().fail();
      await harness.clock.advance(15_000);
      socket.text("pong");
    }
    expect(socket.heartbeat().accepting).toBe(false);
  });
});

describe("a model whose engine can tell when it may work again", () => {
  /** It is missed after it has died. */
  async function missed(): Promise<{ harness: AgentHarness; socket: FakeSocket; comeBack: () => void }> {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    harness.engine.holdLoads = true;
    harness.engine.lastLoad().loaded.die();
    await harness.clock.advance(5000);
    const over = Promise.withResolvers<void>();
    const error = new EngineError("fault", "load_failed", "it has gone", { over: over.promise });
    harness.engine.lastLoad().fail(error);
    harness.engine.holdLoads = false;
    await settle();
    return { harness, socket, comeBack: over.resolve };
  }

  it("is not offered until then, and loaded at once", async () => {
    const { harness, socket, comeBack } = await missed();
    expect(harness.logged.join("\n")).toContain(
      "this model cannot work now and is not offered until it can, or for 10 minutes",
    );
    const loads = harness.engine.loads.length;
    await harness.clock.advance(30_000);
    expect(socket.heartbeat().accepting).toBe(false);
    expect(harness.engine.loads).toHaveLength(loads);
    comeBack();
    await settle();
    harness.socket().register({ pool: "alpha", pools: ["alpha"] });
    await settle();
    expect(harness.socket().heartbeat()).toMatchObject({ accepting: true, loaded_models: ["alpha"] });
    expect(harness.logged.join("\n")).toContain("this model can work again");
  });

  it("is not offered after the first such failure: another try is of no use", async () => {
    const harness = new AgentHarness({ holdLoads: true });
    const socket = await harness.connected();
    const over = new Promise<void>(() => undefined);
    harness.engine.lastLoad().fail(new EngineError("fault", "load_failed", "it has gone", { over }));
    await settle();
    expect(socket.heartbeat().accepting).toBe(false);
  });

  it("is set aside all the same if it dies again at once", async () => {
    const { harness, comeBack } = await missed();
    comeBack();
    await settle();
    harness.socket().register({ pool: "alpha", pools: ["alpha"] });
    await settle();
    harness.engine.lastLoad().loaded.die();
    await settle();
    expect(harness.socket().heartbeat().accepting).toBe(false);
    expect(harness.logged.filter((line) => line.includes("not offered for 10 minutes"))).toHaveLength(1);
  });

  it("is left alone when the machine has stopped", async () => {
    const { harness, comeBack } = await missed();
    harness.agent.stop();
    await harness.clock.advance(5000);
    await harness.agent.finished;
    const loads = harness.engine.loads.length;
    comeBack();
    await settle();
    expect(harness.engine.loads).toHaveLength(loads);
    expect(harness.clock.pending()).toBe(0);
  });
});

describe("a load", () => {
  it("that hangs is given up after ten minutes", async () => {
    const harness = new AgentHarness({ holdLoads: true });
    harness.agent.start();
    await harness.clock.advance(10 * MINUTE);
    expect(harness.engine.events.slice(0, 2)).toEqual(["load alpha", "aborted alpha"]);
    expect(harness.logged.join("\n")).toContain("longer than 10 minutes");
  });

  it("that fails for an unknown reason is a fault of this machine", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const socket = await harness.connected(["alpha", "beta"]);
    harness.engine.holdLoads = true;
    socket.request(1, { model_id: "beta" });
    await settle();
    harness.engine.lastLoad().fail(new Error("odd") as EngineError);
    await settle();
    expect(socket.errors()).toEqual(["1 fault/load_failed"]);
  });
});
