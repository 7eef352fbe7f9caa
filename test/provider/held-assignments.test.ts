import { describe, expect, it } from "vitest";

import { AgentHarness } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";
import { holdingBeta, inTwoPools, MODELS } from "./assignment-scene.ts";

/** What becomes of an assignment: after a restart, a release or the death of its engine. */

describe("[D1] after a restart", () => {
  it("reports the assignment, loads that model only, and serves no other until told", async () => {
    const harness = new AgentHarness({ models: MODELS, assignment: ["beta", 5], holdLoads: true });
    harness.agent.start();
    await settle();
    expect(harness.sockets.map(({ pool }) => pool)).toEqual(["beta"]);
    expect(harness.engine.events).toEqual(["load beta"]);
    const beta = harness.socket();
    beta.register({ pool: "beta", pools: ["beta"], modelId: "beta", epoch: 5 });
    await settle();
    expect(beta.sent[0]).toMatchObject({ assignment: { model_id: "beta", epoch: 5 }, loaded_models: [] });
    // [H14]
    expect(beta.statuses()).toEqual(["beta 5 loading 0"]);
    beta.request(1, { model_id: "beta" });
    beta.request(2, { model_id: "alpha" });
    expect(beta.errors()).toEqual(["1 capacity/switching_model", "2 capacity/switching_model"]);
    harness.engine.lastLoad().succeed();
    await settle();
    expect(beta.statuses().at(-1)).toBe("beta 5 succeeded");
    beta.request(3, { model_id: "alpha" });
    beta.request(4, { model_id: "beta" });
    expect(beta.errors().at(-1)).toBe("3 capacity/not_assigned_model");
    expect(beta.ofType("inference_accepted").map(({ stream }) => stream)).toEqual([4]);
    expect(harness.saves).toEqual([]);
  });

  it("obeys the higher epoch that came while it was away", async () => {
    const harness = new AgentHarness({ models: MODELS, assignment: ["beta", 5], holdLoads: true });
    harness.agent.start();
    await settle();
    harness.socket().register({ pool: "gamma", pools: ["gamma"], modelId: "gamma", epoch: 6 });
    await settle();
    expect(harness.engine.events).toEqual(["load beta", "save gamma 6", "aborted beta", "load gamma"]);
  });

  it("of a released machine is unmanaged, and still knows its epoch", async () => {
    const harness = new AgentHarness({ models: MODELS, assignment: [null, 9] });
    const alpha = await harness.connected(["alpha"]);
    expect(alpha.sent[0]).toMatchObject({ assignment: { model_id: null, epoch: 9 } });
    expect(harness.agent.status()).toMatchObject({ state: "serving", model: "alpha", assignment: null });
    alpha.assign("beta", 8);
    await settle();
    expect(harness.agent.status().model).toBe("alpha");
    expect(alpha.heartbeat().assignment).toEqual({ model_id: null, epoch: 9 });
  });

  it("[H10] follows no list of an epoch below its own", async () => {
    const harness = new AgentHarness({ models: MODELS, assignment: ["beta", 5] });
    harness.agent.start();
    await settle();
    harness.socket().register({ pool: "beta", pools: ["alpha", "gamma"], epoch: 4 });
    await settle();
    expect(harness.open().map(({ pool }) => pool)).toEqual(["beta"]);
  });
});

describe("[F2] being released", () => {
  it("serves any model again without a restart, tells all pools at once and dials those of the list", async () => {
    const { harness, alpha, beta } = await holdingBeta();
    beta.assign(null, 6, { pools: MODELS });
    expect([alpha, beta].map((socket) => socket.heartbeat().assignment)).toEqual([
      { model_id: null, epoch: 6 },
      { model_id: null, epoch: 6 },
    ]);
    expect(harness.saves.at(-1)).toEqual({ modelId: null, epoch: 6 });
    expect(harness.open().map(({ pool }) => pool)).toEqual(["alpha", "beta", "gamma"]);
    alpha.request(1);
    await settle();
    expect(alpha.ofType("inference_accepted")).toHaveLength(1);
    expect(harness.agent.status()).toMatchObject({ model: "alpha", assignment: null });
  });

  it("ends a failed order", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    alpha.assign("omega", 1, { pools: ["alpha", "beta"] });
    await settle();
    beta.assign(null, 2);
    alpha.request(1);
    await settle();
    expect(alpha.ofType("inference_accepted")).toHaveLength(1);
    expect(harness.agent.status().state).toBe("serving");
  });

  it("loads a model if it holds none", async () => {
    const { harness, alpha } = await inTwoPools({ holdLoads: true });
    alpha.assign("beta", 1, { pools: ["alpha", "beta"] });
    await settle();
    harness.engine.lastLoad().fail();
    await settle();
    alpha.assign(null, 2);
    await harness.clock.advance(5000);
    harness.engine.lastLoad().succeed();
    await settle();
    expect(harness.agent.status().state).toBe("serving");
  });
});

describe("[C17] a machine that serves only its owner", () => {
  it("refuses every order", async () => {
    const { harness, alpha, beta } = await inTwoPools({ privateOnly: true });
    alpha.assign("beta", 3, { pools: ["alpha", "beta"] });
    await settle();
    expect(beta.statuses()).toEqual(["beta 3 failed refused_by_operator"]);
    expect(harness.saves).toEqual([]);
    expect(harness.agent.status()).toMatchObject({ model: "alpha", assignment: null });
  });

  it("holds nothing that was ordered before its owner decided so", async () => {
    const harness = new AgentHarness({ models: MODELS, privateOnly: true, assignment: ["beta", 5] });
    const alpha = await harness.connected(["alpha"]);
    expect(harness.agent.status()).toMatchObject({ model: "alpha", assignment: null });
    expect(alpha.sent[0]).toMatchObject({ private_only: true, assignment: { model_id: null, epoch: 5 } });
  });
});

describe("when the engine dies on the assigned model", () => {
  it("loads it again and says so; until then requests go elsewhere", async () => {
    const { harness, beta } = await holdingBeta();
    harness.engine.lastLoad().loaded.die();
    await settle();
    const events = harness.engine.events.length;
    expect(beta.heartbeat().loaded_models).toEqual([]);
    beta.request(1, { model_id: "beta" });
    expect(beta.errors()).toEqual(["1 capacity/switching_model"]);
    await harness.clock.advance(3000);
    expect(harness.engine.events.slice(events)).toEqual(["load beta", "ready beta"]);
    expect(beta.statuses().slice(-2)).toEqual(["beta 5 loading 0", "beta 5 succeeded"]);
  });

  it("[D4] holds no other model instead if it keeps failing: the order has failed", async () => {
    const { harness, beta } = await holdingBeta();
    harness.engine.lastLoad().loaded.die();
    await harness.clock.advance(5000);
    harness.engine.lastLoad().loaded.die();
    await harness.clock.advance(60_000);
    expect(beta.statuses().at(-1)).toBe("beta 5 failed load_failed");
    expect(harness.agent.status()).toMatchObject({ state: "failed", model: "beta" });
    expect(harness.engine.loads.map(({ model }) => model.id)).toEqual(["alpha", "beta", "beta"]);
    // The next order is carried out all the same.
    expect(harness.logged.join("\n")).toContain("check its file");
    expect(harness.logged.join("\n")).not.toContain("10 minutes");
  });

  it("tries a load again that fails after the death, and not only the first time", async () => {
    const { harness, beta } = await holdingBeta();
    await harness.clock.advance(1000);
    harness.engine.holdLoads = true;
    harness.engine.lastLoad().loaded.die();
    await harness.clock.advance(45_000);
    for (const socket of harness.open()) socket.text("pong");
    await harness.clock.advance(30_000);
    harness.engine.lastLoad().fail();
    await harness.clock.advance(10_000);
    harness.engine.lastLoad().succeed();
    await settle();
    expect(beta.statuses().at(-1)).toBe("beta 5 succeeded");
    expect(harness.agent.status().state).toBe("serving");
  });
});

describe("what its owner sees", () => {
  it("is what was ordered, why, and how far it is", async () => {
    const { harness, alpha } = await inTwoPools({ holdLoads: true });
    harness.engine.lastLoad().succeed();
    await settle();
    alpha.request(1);
    alpha.request(2);
    alpha.assign("beta", 8, { reason: "more demand\u001b[2J" });
    await settle();
    expect(harness.logged).toContain("ordered: hold beta instead of alpha: more demand [2J (epoch 8) {}");
    expect(harness.logged).toContain("draining: 2 requests {}");
    expect(harness.agent.status()).toMatchObject({
      state: "draining",
      model: "alpha",
      running: 2,
      assignment: { model: "beta", epoch: 8, reason: "more demand [2J", phase: "draining" },
    });
    for (const run of harness.engine.lastLoad().loaded.runs) run.finish();
    await settle();
    harness.engine.lastLoad().options.onProgress?.(0.4);
    expect(harness.agent.status()).toMatchObject({ state: "loading", model: "beta", progress: 0.4 });
    harness.engine.lastLoad().succeed();
    await settle();
    expect(harness.logged).toContain('loading {"model":"beta"}');
    expect(harness.agent.status()).toMatchObject({ state: "serving", assignment: { phase: "serving" } });
  });
});
