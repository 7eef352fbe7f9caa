import { describe, expect, it } from "vitest";

import { AgentHarness, type FakeSocket, type HarnessOptions } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";

/** The way from one model to another by order: drain, unload, memory, load; and what happens if it is superseded. */

const DRAIN_MS = 30_000;
const POOLS = ["alpha", "beta", "gamma"];

interface Switching {
  readonly harness: AgentHarness;
  /** The socket of the pool that the machine leaves. */
  readonly alpha: FakeSocket;
  /** The one of the pool it is ordered to. */
  readonly beta: FakeSocket;
}

/** An unmanaged machine that has alpha loaded; from here on a test ends each load itself. */
async function setUp(options: HarnessOptions = {}): Promise<Switching> {
  const harness = new AgentHarness({ models: POOLS, ...options });
  const alpha = await harness.connected(POOLS);
  const [, beta] = harness.sockets;
  if (beta === undefined) throw new Error("beta was not dialed");
  beta.register({ pool: "beta", pools: POOLS });
  harness.socket().register({ pool: "gamma", pools: POOLS });
  await harness.clock.advance(1000);
  harness.engine.holdLoads = true;
  return { harness, alpha, beta };
}

const order = (socket: FakeSocket, model: string | null, epoch: number): void =>
  socket.assign(model, epoch, { pools: POOLS, drainMs: DRAIN_MS });

/** Passes time without letting the sockets die of silence. */
async function pass(harness: AgentHarness, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 10_000) {
    await harness.clock.advance(Math.min(left, 10_000));
    for (const socket of harness.open()) socket.text("pong");
  }
}

/** What the engine did after the first load. */
const events = (harness: AgentHarness): string[] =>
  harness.engine.events.slice(2).filter((event) => !event.startsWith("save"));

describe("[H16] a drain", () => {
  it("lets running requests end, and is over when the last one has", async () => {
    const { harness, alpha, beta } = await setUp();
    alpha.request(1);
    alpha.request(2);
    const { runs } = harness.engine.lastLoad().loaded;
    order(alpha, "beta", 1);
    await pass(harness, 5000);
    runs[0]?.finish();
    await settle();
    expect(beta.statuses()).toEqual(["beta 1 draining"]);
    expect(events(harness)).toEqual([]);
    runs[1]?.finish();
    await settle();
    expect(alpha.ofType("inference_complete")).toHaveLength(2);
    expect(beta.statuses()).toEqual(["beta 1 draining", "beta 1 loading 0"]);
    expect(events(harness)).toEqual(["unload alpha", "load beta"]);
  });

  it("[D3] accepts nothing new, for any model and from any pool", async () => {
    const { harness, alpha, beta } = await setUp();
    alpha.request(1);
    order(alpha, "beta", 1);
    alpha.request(2);
    beta.request(3, { model_id: "beta" });
    beta.request(4, { model_id: "gamma", owner_bypass: true });
    expect(alpha.errors()).toEqual(["2 capacity/switching_model"]);
    expect(beta.errors()).toEqual(["3 capacity/switching_model", "4 capacity/switching_model"]);
    expect(harness.engine.lastLoad().loaded.runs).toHaveLength(1);
  });

  it("[D3] refuses at once what waits for a model and has not been accepted", async () => {
    const { harness, alpha, beta } = await setUp();
    alpha.request(1, { model_id: "gamma" });
    await settle();
    order(alpha, "beta", 1);
    expect(alpha.errors()).toEqual(["1 capacity/switching_model"]);
    await settle();
    expect(beta.statuses()).toEqual(["beta 1 loading 0"]);
    expect(events(harness)).toEqual(["unload alpha", "load gamma", "aborted gamma", "load beta"]);
  });

  it("ends at drain_ms what has no byte yet, and at twice that what has", async () => {
    const { harness, alpha, beta } = await setUp();
    alpha.request(1);
    alpha.request(2);
    void harness.engine.lastLoad().loaded.runs[0]?.write("a");
    order(alpha, "beta", 1);
    await pass(harness, DRAIN_MS - 1);
    expect(alpha.errors()).toEqual([]);
    await pass(harness, 1);
    expect(alpha.errors()).toEqual(["2 capacity/switching_model"]);
    expect(alpha.streamText(2)).toBe("");
    await pass(harness, DRAIN_MS - 1);
    void harness.engine.lastLoad().loaded.runs[0]?.write("b");
    expect(alpha.errors()).toHaveLength(1);
    await pass(harness, 1);
    expect(alpha.errors()).toEqual(["2 capacity/switching_model", "1 capacity/switching_model"]);
    expect(alpha.streamText(1)).toBe("ab");
    expect(alpha.order.lastIndexOf("bytes")).toBeLessThan(alpha.order.lastIndexOf("inference_error"));
    expect(beta.statuses()).toEqual(["beta 1 draining", "beta 1 loading 0"]);
    expect(events(harness)).toEqual(["unload alpha", "load beta"]);
  });

  it("counts a stream whose bytes the paused reader has not let out as one without a byte", async () => {
    const { harness, alpha } = await setUp();
    alpha.request(1);
    alpha.receive({ type: "pause", stream: 1 });
    void harness.engine.lastRun().write("never sent");
    order(alpha, "beta", 1);
    await pass(harness, DRAIN_MS);
    expect(alpha.errors()).toEqual(["1 capacity/switching_model"]);
    expect(alpha.streamText(1)).toBe("");
  });

  it("does not wait for an engine that ignores its end", async () => {
    const { harness, alpha, beta } = await setUp();
    alpha.request(1);
    harness.engine.lastRun().ignoresAbort = true;
    order(alpha, "beta", 1);
    await pass(harness, 2 * DRAIN_MS + 5000);
    expect(alpha.errors()).toEqual(["1 capacity/switching_model"]);
    expect(events(harness)).toEqual(["unload alpha", "load beta"]);
    expect(beta.statuses().at(-1)).toBe("beta 1 loading 0");
  });
});

describe("a load", () => {
  it("reports its progress, at most twice a second, and then that it has succeeded", async () => {
    const { harness, alpha, beta } = await setUp();
    order(alpha, "beta", 1);
    await settle();
    const load = harness.engine.lastLoad();
    for (let step = 1; step <= 100; step++) {
      load.options.onProgress?.(step / 100);
      await harness.clock.advance(20);
    }
    load.succeed();
    await settle();
    const statuses = beta.statuses();
    expect(statuses.length).toBeGreaterThan(4);
    expect(statuses.length).toBeLessThanOrEqual(6);
    expect(statuses.at(-2)).toMatch(/^beta 1 loading (0\.\d+|1)$/);
    expect(statuses.at(-1)).toBe("beta 1 succeeded");
    expect(beta.heartbeat()).toMatchObject({
      loaded_models: ["beta"],
      accepting: true,
      assignment: { model_id: "beta", epoch: 1 },
    });
  });

  it("sends a step that came too soon after the last one when its time has come", async () => {
    const { harness, alpha, beta } = await setUp();
    order(alpha, "beta", 1);
    await settle();
    const load = harness.engine.lastLoad();
    load.options.onProgress?.(0.3);
    harness.clock.set(-3_600_000);
    load.options.onProgress?.(0.6);
    expect(beta.statuses().at(-1)).toBe("beta 1 loading 0");
    await harness.clock.advance(500);
    expect(beta.statuses().at(-1)).toBe("beta 1 loading 0.6");
    load.succeed();
    await harness.clock.advance(1000);
    expect(beta.statuses().at(-1)).toBe("beta 1 succeeded");
  });

  it("waits until the memory of the old model is back", async () => {
    const { harness, alpha } = await setUp({ sizeBytes: 8e9 });
    harness.vitals = { ...harness.vitals, memoryFreeGb: 3 };
    order(alpha, "beta", 1);
    await harness.clock.advance(4000);
    expect(events(harness)).toEqual(["unload alpha"]);
    harness.vitals = { ...harness.vitals, memoryFreeGb: 9 };
    await harness.clock.advance(250);
    expect(events(harness)).toEqual(["unload alpha", "load beta"]);
  });

  it("is tried after 10 s, whatever the clock says, also if the memory does not come back, with a warning", async () => {
    const { harness, alpha } = await setUp({ sizeBytes: 8e9 });
    harness.vitals = { ...harness.vitals, memoryFreeGb: 3 };
    order(alpha, "beta", 1);
    await harness.clock.advance(5000);
    harness.clock.set(-3_600_000);
    await harness.clock.advance(5000);
    expect(events(harness)).toEqual(["unload alpha", "load beta"]);
    expect(harness.logged.join("\n")).toContain('{"model":"beta","neededGb":8,"freeGb":3}');
  });
});

describe("[F14] [F7] an order that a newer one supersedes", () => {
  it("while it drains: unloads nothing, reports nothing more, and the streams go on", async () => {
    const { harness, alpha, beta } = await setUp();
    alpha.request(1);
    order(alpha, "beta", 1);
    await settle();
    order(alpha, "alpha", 2);
    await pass(harness, 3 * DRAIN_MS);
    expect(alpha.errors()).toEqual([]);
    harness.engine.lastRun().finish();
    await settle();
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect(events(harness)).toEqual([]);
    expect(beta.statuses()).toEqual(["beta 1 draining"]);
    expect(alpha.statuses()).toEqual(["alpha 2 succeeded"]);
  });

  it("while it drains, by one for a third model: the drain begins anew with the newer order's limit", async () => {
    const { harness, alpha } = await setUp();
    alpha.request(1);
    order(alpha, "beta", 1);
    await pass(harness, 20_000);
    order(alpha, "gamma", 2);
    await pass(harness, 20_000);
    expect(alpha.errors()).toEqual([]);
    await pass(harness, 10_000);
    expect(alpha.errors()).toEqual(["1 capacity/switching_model"]);
    expect(events(harness)).toEqual(["unload alpha", "load gamma"]);
  });

  it("while it waits for memory: loads nothing", async () => {
    const { harness, alpha, beta } = await setUp({ sizeBytes: 8e9 });
    harness.vitals = { ...harness.vitals, memoryFreeGb: 3 };
    order(alpha, "beta", 1);
    await harness.clock.advance(1000);
    order(alpha, "alpha", 2);
    harness.vitals = { ...harness.vitals, memoryFreeGb: 9 };
    await harness.clock.advance(10_000);
    expect(events(harness)).toEqual(["unload alpha", "load alpha"]);
    expect(beta.statuses()).toEqual(["beta 1 loading 0"]);
  });

  it("while it loads: the load is given up, and its end says nothing", async () => {
    const { harness, alpha, beta } = await setUp();
    order(alpha, "beta", 1);
    await settle();
    harness.engine.lastLoad().ignoresAbort = true;
    const load = harness.engine.lastLoad();
    order(alpha, "alpha", 2);
    load.options.onProgress?.(0.9);
    load.succeed();
    await settle();
    harness.engine.lastLoad().succeed();
    await settle();
    expect(events(harness)).toEqual([
      "unload alpha",
      "load beta",
      "ready beta",
      "unload beta",
      "load alpha",
      "ready alpha",
    ]);
    expect(beta.statuses()).toEqual(["beta 1 loading 0"]);
    expect(alpha.statuses()).toEqual(["alpha 2 loading 0", "alpha 2 succeeded"]);
  });

  it("while it loads, for the same model: the load is joined and goes on under the new epoch", async () => {
    const { harness, alpha, beta } = await setUp();
    order(alpha, "beta", 1);
    await settle();
    order(alpha, "beta", 2);
    await settle();
    harness.engine.lastLoad().succeed();
    await settle();
    expect(events(harness)).toEqual(["unload alpha", "load beta", "ready beta"]);
    expect(beta.statuses()).toEqual(["beta 1 loading 0", "beta 2 loading 0", "beta 2 succeeded"]);
  });

  it("by a release while it drains: the old model stays, and the streams go on", async () => {
    const { harness, alpha, beta } = await setUp();
    alpha.request(1);
    order(alpha, "beta", 1);
    await settle();
    order(beta, null, 2);
    alpha.request(2);
    await pass(harness, 3 * DRAIN_MS);
    expect(alpha.errors()).toEqual([]);
    expect(events(harness)).toEqual([]);
    expect(alpha.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([1, 2]);
    expect(beta.statuses()).toEqual(["beta 1 draining"]);
    expect(harness.agent.status()).toMatchObject({ state: "serving", assignment: null });
  });

  it("by a release while it waits for memory: some model is loaded again", async () => {
    const { harness, alpha } = await setUp({ sizeBytes: 8e9 });
    harness.vitals = { ...harness.vitals, memoryFreeGb: 3 };
    order(alpha, "beta", 1);
    await harness.clock.advance(1000);
    order(alpha, null, 2);
    await harness.clock.advance(1000);
    expect(events(harness)).toEqual(["unload alpha", "load alpha"]);
  });
});

describe("[D4] while it is managed", () => {
  it("a machine refuses every other model, and nothing moves its own", async () => {
    const { harness, alpha, beta } = await setUp();
    order(alpha, "alpha", 1);
    await settle();
    beta.request(1, { model_id: "beta" });
    alpha.request(2, { model_id: "gamma" });
    expect(beta.errors()).toEqual(["1 capacity/not_assigned_model"]);
    expect(alpha.errors()).toEqual(["2 capacity/not_assigned_model"]);
    await pass(harness, 60_000);
    expect(events(harness)).toEqual([]);
  });

  it("refuses one request more than there are slots", async () => {
    const { alpha } = await setUp({ slots: 1 });
    order(alpha, "alpha", 1);
    alpha.request(1);
    alpha.request(2);
    expect(alpha.errors()).toEqual(["2 capacity/no_free_slot"]);
  });
});

describe("a graceful stop during a switch", () => {
  it("lets the streams end as long as they take, moves no model and reports nothing more", async () => {
    const { harness, alpha, beta } = await setUp();
    alpha.request(1);
    order(alpha, "beta", 1);
    await settle();
    harness.agent.stop();
    await pass(harness, 60_000);
    order(alpha, "gamma", 2);
    expect(alpha.errors()).toEqual([]);
    expect(events(harness)).toEqual([]);
    harness.engine.lastRun().finish();
    await pass(harness, 3000);
    await harness.agent.finished;
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect(beta.statuses()).toEqual(["beta 1 draining"]);
    // The memory is freed because the program ends.
    expect(events(harness)).toEqual(["unload alpha"]);
    expect(harness.saves).toEqual([{ modelId: "beta", epoch: 1 }]);
    expect(harness.clock.pending()).toBe(0);
  });

  it("gives up a load", async () => {
    const { harness, alpha } = await setUp({ sizeBytes: 8e9 });
    harness.vitals = { ...harness.vitals, memoryFreeGb: 3 };
    order(alpha, "beta", 1);
    await harness.clock.advance(1000);
    harness.agent.stop();
    await harness.agent.finished;
    expect(events(harness)).toEqual(["unload alpha"]);
    expect(harness.clock.pending()).toBe(0);
  });
});
