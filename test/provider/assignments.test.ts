import { describe, expect, it } from "vitest";

import { EngineError } from "../../provider/src/engine.ts";
import { AgentHarness } from "../support/agent-harness.ts";
import { settle } from "../support/virtual-clock.ts";
import { holdingBeta, inTwoPools, MODELS } from "./assignment-scene.ts";

/**
 * Orders, their epochs and what is told about them. How a switch goes is in switching.test.ts, what a machine holds afterwards in
 * held-assignments.test.ts.
 */

describe("[H8] an order", () => {
  it("is handled alike, whether it comes by assign_model or by registered", async () => {
    const byOrder = new AgentHarness({ models: MODELS });
    (await byOrder.connected(["alpha"])).assign("alpha", 3);
    await settle();
    const byRegistered = new AgentHarness({ models: MODELS });
    byRegistered.agent.start();
    await settle();
    byRegistered.socket().register({ pool: "alpha", pools: ["alpha"], modelId: "alpha", epoch: 3 });
    await settle();
    for (const harness of [byOrder, byRegistered]) {
      expect(harness.saves).toEqual([{ modelId: "alpha", epoch: 3 }]);
      expect(harness.socket().statuses()).toEqual(["alpha 3 succeeded"]);
      expect(harness.socket().heartbeat().assignment).toEqual({ model_id: "alpha", epoch: 3 });
    }
  });

  it("of epoch 0 has no effect: the machine was never managed", async () => {
    const { harness, alpha } = await inTwoPools();
    alpha.assign(null, 0);
    await settle();
    expect(harness.saves).toEqual([]);
    expect(alpha.heartbeat().assignment).toBeNull();
    expect(harness.agent.status().assignment).toBeNull();
  });

  it("is on disk before anything is done about it", async () => {
    const { harness, alpha } = await inTwoPools();
    alpha.assign("beta", 8);
    await settle();
    expect(harness.engine.events.slice(2)).toEqual([
      "save beta 8",
      "unload alpha",
      "load beta",
      "ready beta",
    ]);
  });

  it("that cannot be written is not obeyed, and fails with the reason", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    harness.failsToSave = true;
    alpha.assign("beta", 8, { pools: ["alpha", "beta"] });
    await settle();
    expect(beta.statuses()).toEqual(["beta 8 failed load_failed"]);
    expect(beta.ofType("assign_model_status")[0]?.error?.message).toContain("no space left");
    expect(harness.engine.events).toEqual(["load alpha", "ready alpha"]);
    expect(alpha.heartbeat().assignment).toBeNull();
    expect(harness.logged.join("\n")).toContain("could not be written");
    harness.failsToSave = false;
    alpha.assign("beta", 8, { pools: ["alpha", "beta"] });
    await settle();
    expect(beta.statuses().at(-1)).toBe("beta 8 succeeded");
  });
});

describe("[H9] the epoch of an order decides", () => {
  it("lower: it is ignored, and the sender hears what is held", async () => {
    const { harness, alpha, beta } = await holdingBeta();
    const before = alpha.ofType("heartbeat").length;
    alpha.assign("gamma", 4, { pools: ["gamma"] });
    await settle();
    expect(harness.saves).toHaveLength(1);
    expect(harness.agent.status().model).toBe("beta");
    expect(alpha.ofType("heartbeat")).toHaveLength(before + 1);
    expect(alpha.heartbeat().assignment).toEqual({ model_id: "beta", epoch: 5 });
    expect(beta.statuses().slice(-2)).toEqual(["beta 5 succeeded", "beta 5 succeeded"]);
  });

  it("equal, same model: the status is sent again, and nothing else happens", async () => {
    const { harness, alpha, beta } = await holdingBeta();
    const events = harness.engine.events.length;
    const statuses = beta.statuses().length;
    alpha.assign("beta", 5, { pools: ["alpha", "beta"] });
    await settle();
    expect(beta.statuses().slice(statuses)).toEqual(["beta 5 succeeded"]);
    expect(harness.engine.events).toHaveLength(events);
    expect(harness.saves).toHaveLength(1);
  });

  it("equal, another model: it fails with epoch_conflict, in the pool of the other model", async () => {
    const { harness, alpha, beta } = await holdingBeta();
    const statuses = beta.statuses().length;
    beta.assign("alpha", 5, { pools: ["alpha", "beta"] });
    await settle();
    expect(alpha.statuses()).toEqual(["alpha 5 failed epoch_conflict"]);
    expect(beta.statuses()).toHaveLength(statuses);
    expect(harness.agent.status()).toMatchObject({ state: "serving", model: "beta" });
    expect(alpha.heartbeat().assignment).toEqual({ model_id: "beta", epoch: 5 });
  });

  it("higher: it takes over", async () => {
    const { harness, alpha, beta } = await holdingBeta();
    beta.assign("alpha", 6, { pools: ["alpha", "beta"] });
    await settle();
    expect(alpha.statuses()).toEqual(["alpha 6 loading 0", "alpha 6 succeeded"]);
    expect(harness.saves.at(-1)).toEqual({ modelId: "alpha", epoch: 6 });
    expect(beta.heartbeat()).toMatchObject({
      loaded_models: ["alpha"],
      assignment: { model_id: "alpha", epoch: 6 },
    });
  });
});

describe("[C18] [H5] an order for what is loaded already", () => {
  it("succeeds at once and disturbs nobody", async () => {
    const { harness, alpha } = await inTwoPools();
    alpha.request(1);
    alpha.assign("alpha", 2);
    expect(alpha.statuses()).toEqual(["alpha 2 succeeded"]);
    harness.engine.lastRun().finish();
    await settle();
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect(harness.engine.events).toEqual(["load alpha", "ready alpha", "save alpha 2"]);
  });
});

describe("[H12] a status goes to the assigned model's pool", () => {
  it("and to no other", async () => {
    const { harness, alpha, beta } = await inTwoPools();
    alpha.assign("beta", 1, { pools: ["alpha", "beta"] });
    await settle();
    expect(beta.statuses()).toEqual(["beta 1 loading 0", "beta 1 succeeded"]);
    expect(alpha.statuses()).toEqual([]);
    expect(harness.open()).toHaveLength(2);
  });

  it("once its socket is registered, if that takes longer than the switch: the newest one, no older ones", async () => {
    const harness = new AgentHarness({ models: MODELS });
    const alpha = await harness.connected(["alpha"]);
    alpha.assign("beta", 1);
    await harness.clock.advance(2000);
    const beta = harness.socket();
    expect(beta.pool).toBe("beta");
    beta.register({ pool: "beta", pools: ["beta"], modelId: "beta", epoch: 1 });
    await settle();
    expect(beta.statuses()).toEqual(["beta 1 succeeded"]);
    expect(alpha.statuses()).toEqual([]);
  });

  it("[H10] whose socket is dialed at once while the old one drains, also if earlier dials had failed", async () => {
    const harness = new AgentHarness({ models: MODELS });
    const alpha = await harness.connected(["alpha", "beta"]);
    harness.socket().refuse(404);
    alpha.request(1);
    alpha.assign("beta", 1);
    expect(harness.socket().pool).toBe("beta");
    expect(harness.socket().hasEnded).toBe(false);
    harness.socket().register({ pool: "beta", pools: ["beta"], modelId: "beta", epoch: 1 });
    await settle();
    expect(alpha.closedWith).toBeNull();
    expect(harness.socket().statuses()).toEqual(["beta 1 draining"]);
    harness.engine.lastRun().finish();
    await settle();
    expect(alpha.ofType("inference_complete")).toHaveLength(1);
    expect(alpha.closedWith?.code).toBe(1000);
    expect(harness.socket().statuses().at(-1)).toBe("beta 1 succeeded");
  });
});

describe("a failed order", () => {
  it.each([
    ["insufficient_memory", "capacity", "insufficient_memory"],
    ["warmup_failed", "fault", "warmup_failed"],
    ["load_failed", "fault", "load_failed"],
    ["engine_unavailable", "fault", "load_failed"],
  ] as const)("of an engine that says %s", async (code, errorClass, expected) => {
    const { harness, alpha, beta } = await inTwoPools({ holdLoads: true });
    harness.engine.lastLoad().succeed();
    await settle();
    alpha.assign("beta", 7, { pools: ["alpha", "beta"] });
    await settle();
    harness.engine.lastLoad().fail(new EngineError(errorClass, code, "because"));
    await settle();
    expect(beta.statuses().at(-1)).toBe(`beta 7 failed ${expected}`);
    expect(beta.ofType("assign_model_status").at(-1)?.error?.message).toContain("because");
  });

  it("is that of a model which is not on this disk", async () => {
    const harness = new AgentHarness({ models: MODELS });
    const alpha = await harness.connected(["alpha"]);
    alpha.assign("omega", 7);
    harness.socket().register({ pool: "omega", pools: ["omega"], modelId: "omega", epoch: 7 });
    await settle();
    expect(harness.socket().statuses()).toEqual(["omega 7 failed model_not_on_disk"]);
  });

  it("is final: the machine serves nobody, keeps the assignment and tries nothing, until a higher epoch", async () => {
    const { harness, alpha, beta } = await inTwoPools({ holdLoads: true });
    alpha.assign("beta", 7, { pools: ["alpha", "beta"] });
    await settle();
    harness.engine.lastLoad().fail();
    await settle();
    const loads = harness.engine.loads.length;
    beta.request(1, { model_id: "beta" });
    alpha.request(2);
    expect([beta.errors(), alpha.errors()]).toEqual([
      ["1 capacity/not_assigned_model"],
      ["2 capacity/not_assigned_model"],
    ]);
    for (let i = 0; i < 60; i++) {
      await harness.clock.advance(20_000);
      for (const socket of harness.open()) socket.text("pong");
    }
    expect(harness.engine.loads).toHaveLength(loads);
    expect(alpha.heartbeat()).toMatchObject({
      loaded_models: [],
      assignment: { model_id: "beta", epoch: 7 },
    });
    expect(harness.agent.status()).toMatchObject({ state: "failed", model: "beta" });
    alpha.assign("beta", 7, { pools: ["alpha", "beta"] });
    expect(beta.statuses().at(-1)).toBe("beta 7 failed load_failed");
    beta.assign("beta", 8, { pools: ["alpha", "beta"] });
    await settle();
    harness.engine.lastLoad().succeed();
    await settle();
    expect(beta.statuses().at(-1)).toBe("beta 8 succeeded");
  });
});
