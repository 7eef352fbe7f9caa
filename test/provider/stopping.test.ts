import { describe, expect, it } from "vitest";

import { AgentHarness, inTwoPools } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

describe("a graceful stop", () => {
  it("announces it to all pools, finishes what runs, closes with 1000 and unloads", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    alpha.request(1);
    void harness.engine.lastRun().write("a");
    harness.agent.stop();
    expect([alpha.heartbeat().accepting, beta.heartbeat().accepting]).toEqual([false, false]);
    await harness.clock.advance(30_000);
    for (const socket of [alpha, beta]) socket.text("pong");
    expect(alpha.closedWith).toBeNull();
    harness.engine.lastRun().finish();
    await settle();
    expect(alpha.streamText(1)).toBe("a.");
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect([alpha.closedWith?.code, beta.closedWith?.code]).toEqual([1000, 1000]);
    expect(await harness.agent.finished).toEqual({ kind: "asked" });
    expect(harness.engine.events.at(-1)).toBe("unload alpha");
    expect(harness.clock.pending()).toBe(0);
  });

  it("[D3] refuses new requests and those that wait for a model, so that they go elsewhere", async () => {
    const harness = new AgentHarness({ holdLoads: true });
    const socket = await harness.connected();
    socket.answersClose = false;
    socket.request(1);
    harness.agent.stop();
    socket.request(2);
    expect(socket.errors()).toEqual(["1 capacity/stopping"]);
    expect(socket.closedWith?.code).toBe(1000);
  });

  it("refuses new requests while old ones run", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    harness.agent.stop();
    socket.request(2);
    expect(socket.errors()).toEqual(["2 capacity/stopping"]);
  });

  it("does not replace a socket that it closes itself", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"], holdLoads: true });
    const alpha = await harness.connected(["alpha", "beta"]);
    // The other socket is still dialing when the last request is refused.
    alpha.request(1);
    harness.agent.stop();
    await harness.agent.finished;
    expect(harness.sockets).toHaveLength(2);
  });

  it("gives up a load", async () => {
    const harness = new AgentHarness({ holdLoads: true });
    await harness.connected();
    harness.agent.stop();
    await harness.agent.finished;
    expect(harness.engine.events).toEqual(["load alpha", "aborted alpha"]);
    expect(harness.clock.pending()).toBe(0);
  });

  it("does not wait for a coordinator that does not answer the close", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.answersClose = false;
    harness.agent.stop();
    await harness.clock.advance(2000);
    await harness.agent.finished;
    expect(socket.wasTerminated).toBe(true);
  });

  it("does not dial again, whatever ends", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    harness.agent.stop();
    socket.end(1006);
    await harness.clock.advance(60_000);
    await harness.agent.finished;
    expect(harness.sockets).toHaveLength(1);
  });

  it("works before anything is connected or loaded", async () => {
    const harness = new AgentHarness({ holdLoads: true });
    harness.agent.start();
    harness.agent.stop();
    await harness.agent.finished;
    expect(harness.open()).toEqual([]);
    expect(harness.clock.pending()).toBe(0);
  });
});

describe("a stop at once", () => {
  it("cancels what runs, closes and unloads without waiting for the engine", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    const run = harness.engine.lastRun();
    run.ignoresAbort = true;
    harness.agent.stop();
    await harness.clock.advance(1000);
    harness.agent.abort();
    expect(run.signal.aborted).toBe(true);
    await harness.agent.finished;
    expect(socket.closedWith?.code).toBe(1000);
    expect(harness.engine.events.at(-1)).toBe("unload alpha");
    expect(harness.clock.pending()).toBe(0);
  });
});
