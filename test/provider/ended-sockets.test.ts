import { describe, expect, it } from "vitest";

import { AgentHarness, inTwoPools } from "../support/agent-harness.ts";
import { assign, openPools } from "./socket-scene.ts";

/** What follows when a socket has ended or an upgrade was refused. How one begins and lives is in sockets.test.ts. */

const MINUTE = 60_000;

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
    expect(harness.logged.at(-1)).toContain("was the state directory copied");
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
    expect(harness.logged.at(-1)).not.toContain("copied");
    const dials = harness.sockets.length;
    await harness.clock.advance(50_000);
    expect(harness.sockets).toHaveLength(dials);
  });

  it("[H7] stays away after 4002 while another socket is registered", async () => {
    const { harness, alpha } = await inTwoPools();
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
    const { harness, alpha, beta } = await inTwoPools();
    alpha.end(4002);
    await harness.clock.advance(5000);
    beta.receive(assign(["alpha", "beta"], 3));
    expect(openPools(harness)).toEqual(["beta", "alpha"]);
  });

  it("[H10] dials a pool again after a 4002 that was sent before the newest list", async () => {
    const { harness, alpha, beta } = await inTwoPools();
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

  it("[H22] retries a pool that does not exist after 15 s, then 30 s, and tries its other models meanwhile", async () => {
    const harness = new AgentHarness({ models: ["alpha", "beta"] });
    harness.agent.start();
    harness.socket().refuse(404);
    expect(openPools(harness)).toEqual(["beta"]);
    harness.socket().refuse(404);
    expect(openPools(harness)).toEqual([]);
    await harness.clock.advance(14_999);
    expect(harness.sockets).toHaveLength(2);
    await harness.clock.advance(1);
    expect(openPools(harness)).toEqual(["alpha", "beta"]);
    for (const socket of harness.open()) socket.refuse(404);
    await harness.clock.advance(29_999);
    expect(harness.sockets).toHaveLength(4);
    await harness.clock.advance(1);
    expect(openPools(harness)).toEqual(["alpha", "beta"]);
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
