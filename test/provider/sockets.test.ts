import { describe, expect, it } from "vitest";

import { AgentHarness } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";
import { assign, openPools } from "./socket-scene.ts";

/** How sockets begin and live. What follows when one has ended is in ended-sockets.test.ts. */

const MINUTE = 60_000;

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
    // The network reports the end that this side has already made of it.
    expect(harness.logged.filter((line) => line.includes('"code":1006'))).toHaveLength(1);
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

  it("are logged, but do not fill the log", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    const before = harness.logged.length;
    for (let i = 0; i < 1000; i++) socket.text("nonsense");
    const logged = harness.logged.slice(before);
    expect(logged).toHaveLength(5);
    expect(logged[0]).toBe('ignored a frame from the coordinator {"pool":"alpha","kind":"malformed"}');
  });
});
