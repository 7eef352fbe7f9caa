import { describe, expect, it } from "vitest";

import { LOAD_TIMEOUT_MS } from "../../../../core/limits.ts";
import { retryAfterS } from "../../../../core/pool/retry-after.ts";
import { INITIAL_SETTINGS } from "../../../../core/pool/settings.ts";
import { epochSchema, machineIdSchema } from "../../../../protocol/ids.ts";
import { MODEL, PoolScene, type Machine } from "./pool-scene.ts";

const MAC = machineIdSchema.parse("mac-1");
const TERMS = { drainMs: 30_000, loadMs: LOAD_TIMEOUT_MS, publicKey: "k" };

/** A pool without a machine, whose refusals are `pool_exhausted`. */
function exhausted(): PoolScene {
  const scene = new PoolScene();
  scene.flags({});
  return scene;
}

/** A machine with two slots, on which each answer takes as long. */
function busy(holdMs: number): { scene: PoolScene; mac: Machine } {
  const scene = exhausted();
  const mac = scene.join("mac-1");
  for (let i = 0; i < 8; i++) {
    scene.ask();
    scene.now += holdMs;
    scene.serve(scene.requestOf(mac), "x");
  }
  for (let i = 0; i < 2; i++) scene.ask();
  return { scene, mac };
}

function fillLine(scene: PoolScene, waiting = 32): void {
  for (let i = 0; i < waiting; i++) scene.ask();
}

function waitOf(scene: PoolScene, chance = 0): number {
  scene.chance = chance;
  return scene.ask().refusal?.retryAfterS ?? Number.NaN;
}

describe("[D10] when a refused client should come back", () => {
  it("is spread at random, from 10 s on for an exhausted pool, and never above 60 s", () => {
    const scene = exhausted();
    const waits = [0, 0.25, 0.5, 0.999].map((chance) => waitOf(scene, chance));
    expect(waits[0]).toBe(10);
    expect(new Set(waits.map((wait) => Math.ceil(wait))).size).toBe(4);
    expect(waits.toSorted((a, b) => a - b)).toEqual(waits);
    expect(Math.max(...waits)).toBeLessThanOrEqual(60);
  });

  it("grows with the share of requests that are turned away", () => {
    const scene = exhausted();
    const first = waitOf(scene, 0.999);
    for (let i = 0; i < 100; i++) scene.ask();
    const later = waitOf(scene, 0.999);
    expect(later).toBeGreaterThan(2 * first);
    scene.now += 60_000;
    expect(waitOf(scene, 0.999)).toBe(first);
  });

  it("hardly grows while most are served, and not by what is wrong with a request", () => {
    const scene = exhausted();
    const mac = scene.join("mac-1");
    for (let i = 0; i < 100; i++) {
      scene.ask();
      scene.error(scene.requestOf(mac), "client", "unsupported");
    }
    scene.heartbeat(mac, { accepting: false });
    for (let i = 0; i < 10; i++) scene.ask();
    // From 10 s on, spread over little more than 5 s.
    expect(waitOf(scene, 0.999)).toBeLessThan(16);
  });

  it("of a full line is when that line has drained, by what answers took of late", () => {
    const slow = busy(2000);
    fillLine(slow.scene);
    // Six before it get two slots that come free every 2 s within the 6 s that they may wait, so the line is full; and itself.
    expect(waitOf(slow.scene)).toBeCloseTo(7, 5);
    const fast = busy(200);
    fillLine(fast.scene);
    expect(waitOf(fast.scene)).toBeCloseTo(3.3, 5);
  });

  it("of a full line grows with overload and is not the same for any two", () => {
    const { scene } = busy(200);
    fillLine(scene);
    const waits = Array.from({ length: 200 }, (_, index) => waitOf(scene, (index % 20) / 20));
    const mean = (some: readonly number[]) => some.reduce((sum, wait) => sum + wait, 0) / some.length;
    expect(mean(waits.slice(-20))).toBeGreaterThan(1.5 * mean(waits.slice(0, 20)));
    expect(new Set(waits.slice(-20)).size).toBe(20);
  });

  it("of a full line is taken from a guess while nothing has been measured", () => {
    const scene = exhausted();
    scene.flags({ queue_max: 1 });
    scene.join("mac-1", { max_concurrency: 1 });
    fillLine(scene, 2);
    expect(waitOf(scene)).toBe(20);
  });

  it("of a full line is soon while the machines are busy for other pools, since nothing says for how long", () => {
    const scene = exhausted();
    scene.flags({ queue_max: 1 });
    scene.heartbeat(scene.join("mac-1"), { running: 2 });
    fillLine(scene, 1);
    expect(waitOf(scene)).toBe(2);
  });

  it("of a full line is the end of a load if that comes sooner", () => {
    const scene = exhausted();
    scene.flags({ queue_max: 1 });
    const loads = scene.join("mac-1", { loaded_models: [] });
    scene.pool.orders.expect(MAC, epochSchema.parse(1), TERMS, scene.now);
    scene.say(loads, { type: "assign_model_status", model_id: MODEL, epoch: 1, status: "loading" });
    scene.join("mac-2", { max_concurrency: 1 });
    scene.now += 57_000;
    fillLine(scene, 2);
    expect(waitOf(scene)).toBe(3);
  });

  it("of a full line knows nothing of machines that refuse: they had no slot to give", () => {
    const { scene, mac } = busy(2000);
    fillLine(scene);
    expect(waitOf(scene)).toBe(7);
    // One slot less, and one more in line.
    for (const sent of scene.requestsOf(mac).slice(0, 1)) scene.error(sent, "capacity", "no_free_slot");
    expect(waitOf(scene)).toBe(16);
  });

  it("while a machine loads is the expected end of the load", () => {
    const scene = exhausted();
    const mac = scene.join("mac-1", { loaded_models: [] });
    scene.pool.orders.expect(MAC, epochSchema.parse(1), TERMS, scene.now);
    const status = (fields: object) =>
      scene.say(mac, { type: "assign_model_status", model_id: MODEL, epoch: 1, ...fields });
    // Up to 30 s of drain, then a third of the 180 s that a load may take.
    expect(waitOf(scene)).toBe(40);
    status({ status: "loading", progress: 0 });
    scene.now += 25_000;
    expect(waitOf(scene)).toBe(35);
    scene.now += 5000;
    // 30 s for 3/5 of it.
    status({ status: "loading", progress: 0.6 });
    expect(waitOf(scene)).toBe(20);
  });

  it("while a machine loads that has loaded before is as far off as that took", () => {
    const scene = exhausted();
    const mac = scene.join("mac-1", { loaded_models: [] });
    const load = (epoch: number) => {
      scene.pool.orders.expect(MAC, epochSchema.parse(epoch), TERMS, scene.now);
      scene.say(mac, { type: "assign_model_status", model_id: MODEL, epoch, status: "loading" });
    };
    load(1);
    scene.now += 22_000;
    scene.say(mac, { type: "assign_model_status", model_id: MODEL, epoch: 1, status: "succeeded" });
    load(2);
    expect(waitOf(scene)).toBe(22);
    scene.now += 4000;
    expect(waitOf(scene)).toBe(18);
  });

  it.each([
    [0, 1, 0, 0, 1],
    [1e9, 1, 1, 0.999, 59.98],
    [5, 10, 0, 0.5, 12.5],
  ])("is %f s, at least %i, share %f, chance %f: %f", (waitS, leastS, share, chance, expected) => {
    expect(retryAfterS(waitS, leastS, share, chance)).toBeCloseTo(expected, 2);
  });

  it("is late where coming back soon is of no use, whatever else is known", () => {
    const scene = exhausted();
    const mac = scene.join("mac-1");
    const own = (machineId: string) => ({
      owner: { machines: new Set([machineId]), otherwise: "wait", isSwitching: false } as const,
    });
    scene.pool.orders.expect(MAC, epochSchema.parse(1), TERMS, scene.now);
    scene.say(mac, { type: "assign_model_status", model_id: MODEL, epoch: 1, status: "loading" });
    scene.now += LOAD_TIMEOUT_MS - 1000;
    expect(scene.ask(own("mac-1")).refusal).toMatchObject({ code: "machine_busy", retryAfterS: 5 });
    expect(scene.ask(own("mac-9")).refusal).toMatchObject({ code: "machine_offline", retryAfterS: 10 });
    expect(scene.ask().refusal).toMatchObject({ code: "pool_exhausted", retryAfterS: 10 });
    scene.flags({ shed_models: [MODEL] });
    expect(scene.ask().refusal).toMatchObject({ code: "model_shed", retryAfterS: 40 });
  });

  it("comes with every 429 and 503, and with nothing else", () => {
    const { scene, mac } = busy(100);
    fillLine(scene);
    const full = scene.ask();
    scene.advance(6000, mac);
    scene.flags({ shed_models: [MODEL] });
    const shed = scene.ask();
    const own = { machines: new Set(["mac-9"]), otherwise: "wait", isSwitching: false } as const;
    scene.flags({});
    const offline = scene.ask({ owner: own });
    for (const { refusal } of [full, shed, offline]) {
      expect(refusal?.retryAfterS).toBeGreaterThanOrEqual(1);
      expect(refusal?.retryAfterS).toBeLessThanOrEqual(60);
    }
    const alone = new PoolScene();
    const client = alone.ask({ deadlineMs: 1 });
    const failed = alone.join("mac-1");
    const faulty = alone.ask();
    alone.error(alone.requestOf(failed), "fault", "broken");
    expect(client.refusal?.retryAfterS).toBe(10);
    expect(faulty.refusal).not.toHaveProperty("retryAfterS");
  });
});

describe("the edge may give the same refusal by itself", () => {
  const holdOf = (scene: PoolScene): number => scene.ask().refusal?.holdsForMs ?? 0;

  it("for a second if the pool is exhausted, and shorter while a machine may come", () => {
    const scene = exhausted();
    expect(holdOf(scene)).toBe(1000);
    scene.pool.orders.expect(MAC, epochSchema.parse(1), TERMS, scene.now);
    expect(holdOf(scene)).toBe(250);
    const idle = exhausted();
    idle.heartbeat(idle.join("mac-2"), { accepting: false });
    expect(holdOf(idle)).toBe(250);
    const left = exhausted();
    left.join("mac-1");
    left.pool.orders.release(MAC, epochSchema.parse(1), left.now);
    expect(holdOf(left)).toBe(1000);
    const failed = exhausted();
    const mac = failed.join("mac-1");
    failed.pool.orders.expect(MAC, epochSchema.parse(1), TERMS, failed.now);
    failed.say(mac, { type: "assign_model_status", model_id: MODEL, epoch: 1, status: "failed" });
    expect(holdOf(failed)).toBe(1000);
    const lost = exhausted();
    lost.lose(lost.join("mac-1"));
    const waited = lost.ask();
    lost.advance(6000);
    expect(waited.refusal).toMatchObject({ code: "pool_exhausted", holdsForMs: 250 });
  });

  it("whatever the length of the request, if no machine serves anybody: one that takes little may be here", () => {
    const scene = exhausted();
    const little = [{ id: MODEL, size_bytes: 1, context_length: 1 }];
    scene.heartbeat(scene.join("mac-2", { models: little }), { reserved: true });
    expect(scene.ask({ body: `{"text":"${"a".repeat(9000)}"}` }).refusal).toMatchObject({
      code: "pool_exhausted",
      holdsForMs: 250,
    });
  });

  it("for a second if an operator has switched the model off", () => {
    const scene = exhausted();
    scene.flags({ shed_models: [MODEL] });
    expect(holdOf(scene)).toBe(1000);
  });

  it("for half the time that a full line lasts, so that no slot comes free that nobody waits for", () => {
    const { scene } = busy(20);
    fillLine(scene);
    expect(holdOf(scene)).toBe(160);
    const slow = busy(2000);
    fillLine(slow.scene);
    expect(holdOf(slow.scene)).toBe(1000);
  });

  it("never on a guess, never for owners, never because one request was slow", () => {
    const scene = exhausted();
    const mac = scene.join("mac-1", { max_concurrency: 1 });
    fillLine(scene, 33);
    expect(holdOf(scene)).toBe(0);
    const measured = busy(2000).scene;
    fillLine(measured);
    const owner = { machines: new Set<string>(), otherwise: "public", isSwitching: false } as const;
    expect(measured.ask({ owner }).refusal).toMatchObject({ code: "queue_full", holdsForMs: 0 });
    const timed = exhausted();
    const other = timed.join("mac-1", { max_concurrency: 1 });
    const [, late] = [timed.ask(), timed.ask()];
    timed.advance(6000, other);
    expect(late.refusal).toMatchObject({ code: "queue_timeout", holdsForMs: 0 });
    expect(mac.connection.attempts.size).toBe(1);
  });
});

it("[F8] the fleet hears of demand that only the edge has seen", () => {
  const scene = exhausted();
  const refused = { code: "pool_exhausted", keyId: "key", requests: 2, promptTokens: 2 } as const;
  scene.pool.refusedAtEdge([refused, { ...refused, keyId: "other" }], scene.now);
  expect(scene.news).toEqual([{ kind: "demand" }]);
});

it("[H17] settings older than those it has change nothing, and the fleet sees which it has", () => {
  const scene = exhausted();
  const versionOf = (): number => scene.pool.report(scene.now, 4).settingsVersion;
  const before = versionOf();
  scene.flags({ shed_models: [MODEL] });
  expect(versionOf()).toBe(before + 1);
  scene.pool.configure({ ...INITIAL_SETTINGS, version: before }, scene.now);
  expect(versionOf()).toBe(before + 1);
  expect(scene.ask().refusedWith).toBe("model_shed");
});

it("[F8] what the edge has refused counts as demand, usage and pressure as if it had come to the pool", () => {
  const [here, there] = [exhausted(), exhausted()];
  for (const scene of [here, there]) {
    const mac = scene.join("mac-1");
    for (let i = 0; i < 50; i++) {
      scene.ask();
      scene.serve(scene.requestOf(mac), "x");
    }
    scene.pool.ledger.usage.drain();
    scene.heartbeat(mac, { accepting: false });
  }
  for (let i = 0; i < 50; i++) here.ask({ body: "x".repeat(400) });
  there.pool.refusedAtEdge(
    [{ code: "pool_exhausted", keyId: "key", requests: 50, promptTokens: 5000 }],
    there.now,
  );
  expect(waitOf(there, 0.9)).toBe(waitOf(here, 0.9));
  const counted = [here, there].map(({ pool }) => ({
    usage: pool.ledger.usage.drain(),
    demand: pool.ledger.demand.drain(),
    refused: pool.ledger.totals.get("requests.pool_exhausted"),
  }));
  expect(counted[1]).toEqual(counted[0]);
  expect(counted[0]?.refused).toBe(51);
  expect(counted[0]?.usage).toMatchObject([{ outcome: "pool_exhausted", requests: 51 }]);
  expect(counted[0]?.demand).toMatchObject([{ arrivals: 101, promptTokens: 5051 }]);
});
