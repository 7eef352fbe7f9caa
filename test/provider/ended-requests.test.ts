import { describe, expect, it } from "vitest";

import { AgentHarness, inTwoPools } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

/** Requests that do not run straight to their end: stopped, overdue, or with a reader who makes them wait. */

const MIB = 1024 * 1024;

describe("ending early", () => {
  it("[F7] aborts the engine on cancel and says so after what was pending", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    const run = harness.engine.lastRun();
    void run.write("a");
    void run.write("b");
    socket.receive({ type: "cancel", request_id: "req_1", stream: 1 });
    expect(run.signal.aborted).toBe(true);
    void run.write("too late");
    await settle();
    expect(socket.streamText(1)).toBe("ab");
    expect(socket.errors()).toEqual(["1 cancelled/cancelled"]);
    expect(socket.order.at(-1)).toBe("inference_error");
  });

  it("[F7] does not call an answer complete that went on after the cancel", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    const run = harness.engine.lastRun();
    run.ignoresAbort = true;
    socket.receive({ type: "cancel", request_id: "req_1", stream: 1 });
    void run.write("dropped");
    run.finish("stop");
    await settle();
    expect(socket.errors()).toEqual(["1 cancelled/cancelled"]);
    expect(socket.ofType("inference_complete")).toEqual([]);
  });

  it("[F7] lets an engine that waits for a paused reader notice the cancel", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    const run = harness.engine.lastRun();
    run.ignoresAbort = true;
    socket.receive({ type: "pause", stream: 1 });
    const wait = run.write("x".repeat(2 * MIB));
    socket.receive({ type: "cancel", request_id: "req_1", stream: 1 });
    await expect(wait).resolves.toBeUndefined();
  });

  it("ignores a cancel for a stream that is not open", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.receive({ type: "cancel", request_id: "req_1", stream: 1 });
    expect(socket.errors()).toEqual([]);
  });

  it("ends a request at its deadline as a fault", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1, { deadline_ms: 3000 });
    void harness.engine.lastRun().write("a");
    await harness.clock.advance(3000);
    expect(harness.engine.lastRun().signal.aborted).toBe(true);
    expect(socket.errors()).toEqual(["1 fault/deadline_exceeded"]);
  });

  it("[H11] aborts the requests of a socket that has ended, and only those", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    alpha.request(1);
    beta.request(1);
    alpha.end(1006);
    await settle();
    const aborted = harness.engine.lastLoad().loaded.runs.map((run) => run.signal.aborted);
    expect(aborted).toEqual([true, false]);
    await harness.clock.advance(250);
    expect(harness.agent.status().running).toBe(1);
    expect(beta.heartbeat().running).toBeLessThanOrEqual(1);
  });

  it("[H11] frees the slot of a request whose socket ended while its reader was paused", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    socket.receive({ type: "pause", stream: 1 });
    const wait = harness.engine.lastRun().write("x".repeat(2 * MIB));
    socket.end(1006);
    await expect(wait).resolves.toBeUndefined();
    await settle();
    expect(harness.agent.status().running).toBe(0);
  });

  it("restarts an engine that does not notice an abort", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    harness.engine.lastRun().ignoresAbort = true;
    socket.receive({ type: "cancel", request_id: "req_1", stream: 1 });
    await harness.clock.advance(25_000);
    expect(harness.engine.events).toEqual([
      "load alpha",
      "ready alpha",
      "unload alpha",
      "load alpha",
      "ready alpha",
    ]);
    expect(harness.agent.status()).toMatchObject({ state: "serving", running: 0 });
  });
});

describe("pause and resume", () => {
  it("holds the bytes, then makes the engine wait, and goes on after resume", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1);
    const run = harness.engine.lastRun();
    void run.write("a");
    socket.receive({ type: "pause", stream: 1 });
    expect(run.write("b".repeat(MIB))).toBeUndefined();
    const wait = run.write("c");
    expect(wait).toBeInstanceOf(Promise);
    await harness.clock.advance(5000);
    expect(socket.streamText(1)).toBe("a");
    socket.receive({ type: "resume", stream: 1 });
    await harness.clock.advance(1000);
    await expect(wait).resolves.toBeUndefined();
    run.finish();
    await settle();
    expect(socket.streamText(1)).toHaveLength(MIB + 3);
    expect(socket.ofType("inference_complete")).toHaveLength(1);
  });

  it("completes a paused stream only once its bytes have gone, though its slot is free before", async () => {
    const harness = new AgentHarness({ slots: 1 });
    const socket = await harness.connected();
    socket.request(1);
    socket.receive({ type: "pause", stream: 1 });
    void harness.engine.lastRun().write("a");
    harness.engine.lastRun().finish();
    await harness.clock.advance(1000);
    expect(socket.ofType("inference_complete")).toHaveLength(0);
    socket.request(2);
    expect(socket.errors()).toEqual([]);
    socket.receive({ type: "resume", stream: 1 });
    await harness.clock.advance(40);
    expect(socket.streamText(1)).toBe("a.");
    expect(socket.ofType("inference_complete").map(({ stream }) => stream)).toEqual([1]);
  });

  it("gives up an answer that nobody reads when the deadline passes", async () => {
    const harness = new AgentHarness();
    const socket = await harness.connected();
    socket.request(1, { deadline_ms: 10_000 });
    socket.receive({ type: "pause", stream: 1 });
    harness.engine.lastRun().finish();
    await harness.clock.advance(10_000);
    expect(socket.errors()).toEqual(["1 cancelled/deadline_exceeded"]);
  });
});
