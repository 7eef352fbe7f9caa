import { describe, expect, it } from "vitest";

import { AgentHarness } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

const MINUTE = 60_000;

/** The pools of the sockets that are open, in the order they were dialed. */
const openPools = (harness: AgentHarness): string[] => harness.open().map((socket) => socket.pool);

const assign = (pools: string[], epoch: number): object => ({
  type: "assign_model",
  model_id: null,
  epoch,
  pools,
  reason: "test",
  drain_ms: 30_000,
  load_ms: 180_000,
});

describe("registering", () => {
  it("names the first model in the first dial and registers in the first frame", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    harness.agent.start();
    const socket = harness.socket();
    expect(socket.pool).toBe("alpha");
    socket.open();
    expect(socket.order).toEqual(["register", "ping"]);
    expect(socket.sent[0]).toMatchObject({
      type: "register",
      protocol: 1,
      version: "0.7.0",
      machine_id: "studio-7f3a",
      session_id: "session-1",
      backend: "fake",
      public_key: "key",
      models: [
        { id: "alpha", size_bytes: 1000 },
        { id: "beta", size_bytes: 1000 },
      ],
      max_concurrency: 4,
      assignment: null,
    });
    expect(socket.sent[0]).not.toHaveProperty("private_only");
  });

  it("tells how fast it has been, once it has answered", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    harness.engine.lastRun().finish("stop", { promptTokens: 102, completionTokens: 45 });
    await settle();
    socket.end(1012);
    await harness.clock.advance(2000);
    harness.socket().open();
    expect(harness.socket().sent[0]).toMatchObject({
      models: [{ id: "alpha", decode_tps: 2000, prefill_tps: 8695.7 }],
    });
  });

  it("says so if it serves only its owner", async () => {
    const harness = new AgentHarness({ privateOnly: true });
    harness.agent.start();
    harness.socket().open();
    expect(harness.socket().sent[0]).toMatchObject({ private_only: true });
  });

  it("dials a socket for each pool of the list", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta", "gamma"] });
    await harness.connected(["alpha", "beta", "gamma"]);
    expect(openPools(harness)).toEqual(["alpha", "beta", "gamma"]);
  });

  it("gives up a dial that nobody answers and tries again", async () => {
    const harness = new AgentHarness();
    harness.agent.start();
    await harness.clock.advance(20_000);
    expect(harness.sockets[0]?.wasTerminated).toBe(true);
    await harness.clock.advance(2000);
    expect(harness.sockets).toHaveLength(2);
  });

  it("[H7] gives up a socket that is open but never registered", async () => {
    const harness = new AgentHarness();
    harness.agent.start();
    harness.socket().open();
    harness.socket().text("pong");
    await harness.clock.advance(MINUTE + 2000);
    expect(harness.sockets[0]?.wasTerminated).toBe(true);
    expect(harness.sockets).toHaveLength(2);
  });
});

describe("signs of life", () => {
  it("[H20] pings directly after register and every 20 s", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    const pings = (): number => socket.order.filter((what) => what === "ping").length;
    expect(socket.order.slice(0, 2)).toEqual(["register", "ping"]);
    await harness.clock.advance(40_000);
    expect(pings()).toBe(3);
  });

  it("[H20] closes and redials after 60 s without a pong, whatever else arrives", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    for (let second = 0; second < 50; second += 10) {
      await harness.clock.advance(10_000);
      socket.receive({ type: "pause", stream: 1 });
    }
    expect(socket.hasEnded).toBe(false);
    await harness.clock.advance(10_000);
    expect(socket.wasTerminated).toBe(true);
    await harness.clock.advance(2000);
    expect(harness.sockets).toHaveLength(2);
  });

  it("[H20] keeps a socket whose pings are answered", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    for (let i = 0; i < 30; i++) {
      await harness.clock.advance(20_000);
      socket.text("pong");
    }
    expect(socket.hasEnded).toBe(false);
    expect(harness.sockets).toHaveLength(1);
  });
});

describe("the list of pools", () => {
  it("[H10] closes a socket that is no longer listed with 1000, and dials the new pool", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const alpha = await harness.connected(["alpha"]);
    alpha.receive(assign(["beta"], 1));
    const beta = harness.socket();
    expect(beta.pool).toBe("beta");
    beta.register({ pool: "beta", pools: ["beta"], epoch: 1 });
    await settle();
    expect(alpha.closedWith?.code).toBe(1000);
    expect(openPools(harness)).toEqual(["beta"]);
  });

  it("[H7] keeps its last registered socket until one of the listed pools has registered it", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const alpha = await harness.connected(["alpha"]);
    alpha.receive(assign(["beta"], 1));
    harness.socket().refuse(503, 1000);
    await harness.clock.advance(500);
    expect(alpha.closedWith).toBeNull();
  });

  it("[H10] keeps an unlisted socket until its work is done", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const alpha = await harness.connected(["alpha"]);
    alpha.request(1);
    alpha.receive(assign(["beta"], 1));
    harness.socket().register({ pool: "beta", pools: ["beta"], epoch: 1 });
    await settle();
    expect(alpha.closedWith).toBeNull();
    harness.engine.lastRun().finish();
    await settle();
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect(alpha.closedWith?.code).toBe(1000);
  });

  it("[H10] ignores a list of an older epoch, and follows the newest of equal ones", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta", "gamma"] });
    const alpha = await harness.connected(["alpha"]);
    alpha.receive(assign(["alpha", "beta"], 5));
    alpha.receive(assign(["alpha", "gamma"], 4));
    expect(openPools(harness)).toEqual(["alpha", "beta"]);
    harness.socket().register({ pool: "beta", pools: ["alpha", "gamma"], epoch: 5 });
    await settle();
    expect(openPools(harness)).toEqual(["alpha", "gamma"]);
  });

  it("[H10] knows a socket by the pool it was registered in, not by the one it asked for", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    harness.agent.start();
    harness.socket().register({ pool: "beta", pools: ["beta"] });
    await harness.clock.advance(10 * 1000);
    expect(openPools(harness)).toEqual(["alpha"]);
    expect(harness.sockets).toHaveLength(1);
    expect(harness.socket().closedWith).toBeNull();
  });

  it("[H10] does not dial in a circle when a listed pool is always answered by another", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    harness.agent.start();
    for (let second = 0; second < 120; second++) {
      for (const socket of harness.open()) {
        if (socket.order.length > 0) continue;
        for (const other of harness.open()) if (other.order.length > 0) other.end(4001);
        socket.register({ pool: "beta", pools: ["alpha", "beta"] });
      }
      await harness.clock.advance(1000);
    }
    expect(harness.sockets.length).toBeLessThan(12);
    expect(harness.open()).toHaveLength(1);
  });
});

describe("redialing", () => {
  it("[H19] is back within 2 s after a restart of the coordinator, then backs off", async () => {
    const harness = new AgentHarness();
    harness.random = 1 - Number.EPSILON;
    const socket = await harness.connected();
    await harness.clock.advance(20_000);
    socket.end(1012);
    await harness.clock.advance(1999);
    expect(harness.sockets).toHaveLength(1);
    await harness.clock.advance(1);
    expect(harness.sockets).toHaveLength(2);
    const waits: number[] = [];
    for (let dial = 2; dial < 10; dial++) {
      harness.socket().end(1006);
      const since = harness.clock.now();
      while (harness.sockets.length === dial) await harness.clock.advance(100);
      waits.push(harness.clock.now() - since);
    }
    expect(waits).toEqual([2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  it("goes on backing off while sockets are registered but do not hold", async () => {
    const harness = new AgentHarness();
    harness.random = 1 - Number.EPSILON;
    await harness.connected();
    for (let minute = 0; minute < 10; minute++) {
      for (let second = 0; second < 60; second++) {
        const socket = harness.open().at(-1);
        if (socket !== undefined) {
          if (socket.order.length === 0) socket.register({ pool: "alpha", pools: ["alpha"] });
          socket.end(1012);
        }
        await harness.clock.advance(1000);
      }
    }
    expect(harness.sockets.length).toBeLessThan(20);
  });

  it("waits 30 s after 4000", async () => {
    const harness = new AgentHarness();
    (await harness.connected()).end(4000);
    await harness.clock.advance(29_999);
    expect(harness.sockets).toHaveLength(1);
    await harness.clock.advance(1);
    expect(harness.sockets).toHaveLength(2);
  });

  it("[H11] redials 5 to 30 s after 4001 if nothing of this process replaced the socket", async () => {
    const harness = new AgentHarness();
    harness.random = 0;
    (await harness.connected()).end(4001);
    await harness.clock.advance(4999);
    expect(harness.sockets).toHaveLength(1);
    await harness.clock.advance(1);
    expect(harness.sockets).toHaveLength(2);
  });

  it("[H11] does nothing on 4001 if another socket of this process is registered in that pool", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const first = await harness.connected(["alpha", "beta"], "beta");
    await harness.clock.advance(1000);
    const second = harness.socket();
    expect(second).not.toBe(first);
    second.register({ pool: "beta", pools: ["beta"] });
    first.end(4001);
    const dials = harness.sockets.length;
    await harness.clock.advance(50_000);
    expect(harness.sockets).toHaveLength(dials);
  });

  it("[H7] stays away after 4002 while another socket is registered", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const alpha = await harness.connected(["alpha", "beta"]);
    const beta = harness.socket();
    beta.register({ pool: "beta", pools: ["alpha", "beta"] });
    alpha.end(4002);
    await harness.clock.advance(50_000);
    expect(openPools(harness)).toEqual(["beta"]);
    expect(harness.sockets).toHaveLength(2);
  });

  it("[H7] dials after 4002 if no other socket is registered", async () => {
    const harness = new AgentHarness();
    (await harness.connected()).end(4002);
    await harness.clock.advance(1000);
    expect(harness.sockets).toHaveLength(2);
    harness.socket().end(4002);
    await harness.clock.advance(2000);
    expect(harness.sockets).toHaveLength(3);
  });

  it("[H7] dials a pool again after 4002 when a new list names it", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const alpha = await harness.connected(["alpha", "beta"]);
    const beta = harness.socket();
    beta.register({ pool: "beta", pools: ["alpha", "beta"] });
    alpha.end(4002);
    await harness.clock.advance(5000);
    beta.receive(assign(["alpha", "beta"], 3));
    expect(openPools(harness)).toEqual(["beta", "alpha"]);
  });

  it("[H10] dials a pool again after a 4002 that was sent before the newest list", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const alpha = await harness.connected(["alpha", "beta"]);
    const beta = harness.socket();
    beta.register({ pool: "beta", pools: ["alpha", "beta"] });
    alpha.receive(assign(["alpha", "beta"], 15));
    beta.receive(assign(["alpha"], 14));
    beta.end(4002);
    await harness.clock.advance(5000);
    expect(openPools(harness)).toEqual(["alpha", "beta"]);
  });

  it("[H22] asks again every 60 s with a token that was refused", async () => {
    const harness = new AgentHarness();
    harness.agent.start();
    harness.socket().refuse(401);
    await harness.clock.advance(59_999);
    expect(harness.sockets).toHaveLength(1);
    await harness.clock.advance(1);
    expect(harness.sockets).toHaveLength(2);
    expect(harness.logged.join()).toContain("check the provider token");
  });

  it("[H22] retries a pool that does not exist after 5 min, and tries its other models meanwhile", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    harness.agent.start();
    harness.socket().refuse(404);
    expect(openPools(harness)).toEqual(["beta"]);
    harness.socket().refuse(404);
    expect(openPools(harness)).toEqual([]);
    await harness.clock.advance(5 * MINUTE - 1);
    expect(harness.sockets).toHaveLength(2);
    await harness.clock.advance(1);
    expect(harness.sockets.length).toBeGreaterThan(2);
  });

  it.each([
    [429, 7000],
    [503, 1000],
  ])("honours the Retry-After of a %i", async (status, retryAfterMs) => {
    const harness = new AgentHarness();
    harness.agent.start();
    harness.socket().refuse(status, retryAfterMs);
    await harness.clock.advance(retryAfterMs);
    expect(harness.sockets).toHaveLength(1);
    await harness.clock.advance(1000);
    expect(harness.sockets).toHaveLength(2);
  });
});

describe("being told to stop", () => {
  it.each([4005, 4006, 4007])("stops the whole program on %i and says why", async (code) => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    const alpha = await harness.connected(["alpha", "beta"]);
    harness.socket().register({ pool: "beta", pools: ["alpha", "beta"] });
    alpha.end(code);
    const cause = await harness.agent.finished;
    expect(cause).toMatchObject({
      kind: "told_by_coordinator",
      sentence: expect.stringMatching(/\.$/) as string,
    });
    expect(harness.open()).toHaveLength(0);
    await harness.clock.advance(10 * MINUTE);
    expect(harness.sockets).toHaveLength(2);
    expect(harness.engine.events.at(-1)).toBe("unload alpha");
  });

  it.each([400, 403, 426])("[H22] stops when the upgrade is refused with %i", async (status) => {
    const harness = new AgentHarness();
    harness.agent.start();
    harness.socket().refuse(status, null, "go away");
    expect(await harness.agent.finished).toMatchObject({
      sentence: expect.stringContaining("go away") as string,
    });
    expect(harness.clock.pending()).toBe(0);
  });
});

describe("frames that make no sense", () => {
  it.each([
    ["not JSON", "{{{"],
    ["not an object", "17"],
    ["of an unknown type", '{"type":"sing"}'],
    ["a known type without its fields", '{"type":"inference_request","stream":1}'],
    ["an epoch above 2^48", '{"type":"assign_model","model_id":"alpha","epoch":1e15,"pools":[]}'],
  ])("are ignored: %s", async (_, text) => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.text(text);
    socket.request(1);
    await settle();
    expect(socket.hasEnded).toBe(false);
    expect(socket.ofType("inference_accepted")).toHaveLength(1);
  });

  it("do not fill the log", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    const before = harness.logged.length;
    for (let i = 0; i < 1000; i++) socket.text("nonsense");
    expect(harness.logged.length - before).toBeLessThan(10);
  });
});
