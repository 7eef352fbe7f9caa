import { describe, expect, it } from "vitest";

import {
  AgentHarness,
  type FakeSocket,
  type HarnessOptions,
  offeredModel,
} from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";
import { openPools } from "./socket-scene.ts";

/** A model that comes to the disk while the machine serves: how the coordinator learns of it, and what it costs. */

const MINUTE = 60_000;

/** The models of the last `register` on a socket. */
const told = (socket: FakeSocket): string[] =>
  socket
    .ofType("register")
    .at(-1)
    ?.models.map(({ id }) => id) ?? [];

/** Holds alpha by epoch 5. */
async function managed({
  takesOffers,
  ...options
}: HarnessOptions & { takesOffers?: boolean } = {}): Promise<{ harness: AgentHarness; alpha: FakeSocket }> {
  const harness = new AgentHarness({ models: ["alpha"], assignment: ["alpha", 5], ...options });
  harness.agent.start();
  await settle();
  const alpha = harness.socket();
  const modelId = options.assignment?.[0] ?? "alpha";
  const toldOffers = takesOffers === undefined ? {} : { takesOffers };
  alpha.register({ pool: "alpha", pools: ["alpha"], epoch: 5, modelId, ...toldOffers });
  await settle();
  return { harness, alpha };
}

const again = { pool: "alpha", pools: ["alpha"], epoch: 5, modelId: "alpha" };

describe("a machine that nobody manages", () => {
  it("tells of it by a socket to its pool, and touches no other", async () => {
    const harness = new AgentHarness();
    const alpha = await harness.connected();
    alpha.request(1);
    await settle();
    harness.agent.offer(offeredModel("beta"));
    const beta = harness.socket();
    expect(beta.pool).toBe("beta");
    beta.register({ pool: "beta", pools: ["alpha", "beta"] });
    expect(told(beta)).toEqual(["alpha", "beta"]);
    harness.engine.lastRun().finish();
    await harness.clock.advance(30_000);
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect(alpha.closedWith).toBeNull();
    expect(harness.sockets).toHaveLength(2);
  });

  it("serves it from then on", async () => {
    const harness = new AgentHarness();
    const alpha = await harness.connected();
    alpha.request(1, { model_id: "beta" });
    harness.agent.offer(offeredModel("beta"));
    const beta = harness.socket();
    beta.register({ pool: "beta", pools: ["alpha", "beta"] });
    beta.request(2, { model_id: "beta" });
    await settle();
    expect(alpha.errors()).toEqual(["1 capacity/not_assigned_model"]);
    expect(beta.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([2]);
    expect(harness.agent.status().model).toBe("beta");
  });

  it("tells of it by the other sockets, at rest, if it has no pool", async () => {
    const harness = new AgentHarness();
    const alpha = await harness.connected();
    alpha.request(1);
    await settle();
    harness.agent.offer(offeredModel("beta"));
    harness.socket().refuse(404);
    await settle();
    expect(alpha.closedWith).toBeNull();
    harness.engine.lastRun().finish();
    await settle();
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect(alpha.closedWith?.code).toBe(1000);
    expect(openPools(harness)).toEqual(["alpha"]);
    harness.socket().register({ pool: "alpha", pools: ["alpha"] });
    expect(told(harness.socket())).toEqual(["alpha", "beta"]);
    await settle();
    expect(harness.socket().closedWith).toBeNull();
  });

  it("renews a socket whose register was under way, and may be taken in after the newer one", async () => {
    const harness = new AgentHarness({ models: ["alpha", "gamma"] });
    const alpha = await harness.connected(["alpha", "gamma"]);
    const gamma = harness.socket();
    gamma.open();
    expect(told(gamma)).toEqual(["alpha", "gamma"]);
    harness.agent.offer(offeredModel("beta"));
    harness.socket().register({ pool: "beta", pools: ["alpha", "gamma", "beta"] });
    gamma.registered({ pool: "gamma", pools: ["alpha", "gamma", "beta"] });
    await settle();
    expect(gamma.closedWith?.code).toBe(1000);
    expect(alpha.closedWith).toBeNull();
    harness.socket().open();
    expect([harness.socket().pool, told(harness.socket())]).toEqual(["gamma", ["alpha", "gamma", "beta"]]);
  });

  it("tells of it when it is connected again, and dials no more than before", async () => {
    const harness = new AgentHarness();
    harness.agent.start();
    harness.socket().refuse(503, 10_000);
    await settle();
    harness.agent.offer(offeredModel("beta"));
    expect(harness.sockets).toHaveLength(1);
    await harness.clock.advance(11_000);
    harness.socket().open();
    expect(told(harness.socket())).toEqual(["alpha", "beta"]);
  });

  it("loads it if it has no other that works", async () => {
    const harness = new AgentHarness({ holdLoads: true });
    const alpha = await harness.connected();
    for (let failures = 0; failures < 2; failures += 1) {
      harness.engine.loads.at(-1)?.fail();
      await harness.clock.advance(10_000);
    }
    expect(alpha.heartbeat().accepting).toBe(false);
    harness.agent.offer(offeredModel("beta"));
    const beta = harness.socket();
    beta.register({ pool: "beta", pools: ["beta"] });
    await settle();
    expect(told(beta)).toEqual(["beta"]);
    expect(beta.heartbeat().accepting).toBe(true);
    await harness.clock.advance(10_000);
    expect(harness.agent.status()).toMatchObject({ state: "loading", model: "beta" });
  });

  it("says no more of it once it stops", async () => {
    const harness = new AgentHarness();
    const alpha = await harness.connected();
    alpha.request(1);
    await settle();
    harness.agent.offer(offeredModel("beta"));
    harness.agent.stop();
    harness.agent.offer(offeredModel("gamma"));
    expect(openPools(harness)).toEqual(["alpha"]);
    harness.engine.lastRun().finish();
    await harness.clock.advance(1000);
    await harness.agent.finished;
    expect(harness.clock.pending()).toBe(0);
  });
});

describe("a managed machine", () => {
  it("tells of it by a new socket to its pool when nothing runs, and keeps its order", async () => {
    const { harness, alpha } = await managed();
    alpha.request(1);
    await settle();
    harness.agent.offer(offeredModel("beta"));
    await harness.clock.advance(30_000);
    expect(harness.sockets).toHaveLength(1);
    harness.engine.lastRun().finish();
    await settle();
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect(alpha.closedWith?.code).toBe(1000);
    const renewed = harness.socket();
    expect(renewed.pool).toBe("alpha");
    renewed.register(again);
    await settle();
    expect(renewed.ofType("register")[0]).toMatchObject({
      models: [{ id: "alpha" }, { id: "beta" }],
      loaded_models: ["alpha"],
      assignment: { model_id: "alpha", epoch: 5 },
    });
    expect(harness.engine.loads).toHaveLength(1);
    expect(renewed.closedWith).toBeNull();
  });

  it("tells of it at once on its socket where the pool takes that, however busy it is", async () => {
    const { harness, alpha } = await managed({ takesOffers: true });
    alpha.request(1);
    await settle();
    for (const id of ["beta", "gamma"]) harness.agent.offer(offeredModel(id));
    expect(alpha.ofType("offer").map(({ models }) => models.map(({ id }) => id))).toEqual([
      ["alpha", "beta"],
      ["alpha", "beta", "gamma"],
    ]);
    expect(alpha.ofType("offer")[0]).toMatchObject({
      session_id: "session-1",
      loaded_models: ["alpha"],
      assignment: { model_id: "alpha", epoch: 5 },
    });
    alpha.register({ ...again, takesOffers: true });
    harness.engine.lastRun().finish();
    await harness.clock.advance(30_000);
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect(alpha.closedWith).toBeNull();
    expect(harness.sockets).toHaveLength(1);
  });

  it("tells so also in the middle of a load, and when it has failed for want of that very model", async () => {
    const loading = await managed({ models: ["alpha", "gamma"], holdLoads: true, takesOffers: true });
    loading.harness.agent.offer(offeredModel("beta"));
    expect(loading.alpha.ofType("offer")).toHaveLength(1);
    const failed = await managed({ assignment: ["beta", 5], takesOffers: true });
    failed.harness.agent.offer(offeredModel("beta"));
    expect(failed.alpha.ofType("offer")[0]?.models).toMatchObject([{ id: "alpha" }, { id: "beta" }]);
  });

  it("tells of two at once by one new socket", async () => {
    const { harness, alpha } = await managed();
    alpha.request(1);
    await settle();
    harness.agent.offer(offeredModel("beta"));
    harness.agent.offer(offeredModel("gamma"));
    harness.engine.lastRun().finish();
    await settle();
    harness.socket().register(again);
    await settle();
    expect(harness.sockets).toHaveLength(2);
    expect(told(harness.socket())).toEqual(["alpha", "beta", "gamma"]);
  });

  it("does not cut the word on an order that is being carried out", async () => {
    const { harness, alpha } = await managed({ models: ["alpha", "gamma"], holdLoads: true });
    harness.agent.offer(offeredModel("beta"));
    await harness.clock.advance(30_000);
    expect(alpha.closedWith).toBeNull();
    harness.engine.loads.at(-1)?.succeed();
    await settle();
    expect(alpha.statuses().at(-1)).toBe("alpha 5 succeeded");
    expect(alpha.closedWith?.code).toBe(1000);
  });

  it("takes nothing new after ten minutes without a rest, until it has told of it", async () => {
    const { harness, alpha } = await managed();
    const ends = [1, 2].map((stream) => {
      alpha.request(stream, { deadline_ms: 3_600_000 });
      return () => harness.engine.loads[0]?.loaded.runs[stream - 1]?.finish();
    });
    await settle();
    harness.agent.offer(offeredModel("beta"));
    const wait = async (ms: number): Promise<void> => {
      for (let waited = 0; waited < ms; waited += 20_000) {
        alpha.text("pong");
        await harness.clock.advance(20_000);
      }
    };
    await wait(9 * MINUTE);
    expect(alpha.heartbeat().accepting).toBe(true);
    await wait(MINUTE);
    expect(alpha.heartbeat().accepting).toBe(false);
    expect(harness.logged.filter((line) => line.startsWith("taking no new requests"))).toHaveLength(1);
    ends[0]?.();
    await settle();
    expect(alpha.closedWith).toBeNull();
    ends[1]?.();
    await settle();
    expect(alpha.ofType("inference_complete")).toHaveLength(2);
    harness.socket().register(again);
    expect(harness.socket().heartbeat().accepting).toBe(true);
  });

  it("says that what it is to hold is still on its way, and loads it when it is ordered again", async () => {
    const whyMissing = (id: string): string | null => (id === "beta" ? "it is being downloaded" : null);
    const harness = new AgentHarness({ assignment: ["beta", 5], whyMissing });
    harness.agent.start();
    const first = harness.socket();
    first.register({ pool: "beta", pools: ["beta"], epoch: 5, modelId: "beta" });
    await settle();
    expect(first.ofType("assign_model_status").at(-1)?.error).toEqual({
      code: "model_not_on_disk",
      message: "no file for beta: it is being downloaded",
    });
    harness.agent.offer(offeredModel("beta"));
    await settle();
    expect(first.closedWith?.code).toBe(1000);
    const second = harness.socket();
    second.register({ pool: "beta", pools: ["beta"], epoch: 5, modelId: "beta" });
    expect(told(second)).toEqual(["alpha", "beta"]);
    second.assign("beta", 6);
    await settle();
    expect(second.statuses().at(-1)).toBe("beta 6 succeeded");
  });
});
