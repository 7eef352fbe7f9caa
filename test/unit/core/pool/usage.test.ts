import { describe, expect, it } from "vitest";

import { perform } from "../../../../core/pool/calls.ts";
import { INITIAL_SETTINGS } from "../../../../core/pool/settings.ts";
import { NO_TOKENS, Usage } from "../../../../core/pool/usage.ts";
import { PoolScene } from "./pool-scene.ts";

const HOUR_MS = 3_600_000;
const tokens = { promptTokens: 10, completionTokens: 5, cachedTokens: 3 };

it("adds up by hour, key and outcome, and apart from each other", () => {
  const usage = new Usage();
  usage.count("a", "ok", tokens, HOUR_MS);
  usage.count("a", "ok", tokens, 2 * HOUR_MS - 1);
  usage.count("a", "ok", tokens, 2 * HOUR_MS);
  usage.count("b", "ok", tokens, HOUR_MS);
  usage.count("a", "cancelled", NO_TOKENS, HOUR_MS);
  const rows = usage
    .drain()
    .map(({ hourAt, keyId, outcome, requests, promptTokens, completionTokens, cachedTokens }) => [
      hourAt / HOUR_MS,
      keyId,
      outcome,
      requests,
      promptTokens,
      completionTokens,
      cachedTokens,
    ]);
  expect(rows).toEqual([
    [1, "a", "ok", 2, 20, 10, 6],
    [2, "a", "ok", 1, 10, 5, 3],
    [1, "b", "ok", 1, 10, 5, 3],
    [1, "a", "cancelled", 1, 0, 0, 0],
  ]);
});

it("is handed over once", () => {
  const usage = new Usage();
  expect(usage.isEmpty).toBe(true);
  usage.count("a", "ok", tokens, 0);
  expect(usage.isEmpty).toBe(false);
  expect(usage.drain()).toHaveLength(1);
  expect(usage.isEmpty).toBe(true);
  expect(usage.drain()).toEqual([]);
  usage.count("a", "ok", tokens, 0);
  expect(usage.drain()).toMatchObject([{ requests: 1, promptTokens: 10 }]);
  // The constant that stands for nothing is still nothing.
  expect(NO_TOKENS).toEqual({ promptTokens: 0, completionTokens: 0, cachedTokens: 0 });
});

const bodyOf = (length: number): string => `{"x":"${"y".repeat(length - 8)}"}`;

describe("[F8] demand", () => {
  it("counts what is refused like what is served, in the minute it came", () => {
    const scene = new PoolScene([], 600_000);
    scene.ask({ body: bodyOf(400) });
    const mac = scene.join("mac-1");
    scene.ask({ body: bodyOf(40) });
    scene.now += 60_000;
    scene.serve(scene.requestOf(mac), "hello");
    expect(scene.pool.ledger.demand.drain()).toEqual([
      { minuteAt: 600_000, arrivals: 2, promptTokens: 110, completed: 0, completionTokens: 0 },
      { minuteAt: 660_000, arrivals: 0, promptTokens: 0, completed: 1, completionTokens: 2 },
    ]);
    expect(scene.pool.ledger.demand.isEmpty).toBe(true);
  });

  it("does not count a request twice that the Worker had to send again", () => {
    const scene = new PoolScene();
    scene.join("mac-1");
    for (let call = 0; call < 2; call++) scene.ask({ requestId: "req_same" });
    expect(scene.pool.ledger.demand.drain()).toMatchObject([{ arrivals: 1 }]);
  });

  it("that surprises is told, however many look at the pool in between", () => {
    const scene = new PoolScene();
    const read = {
      kind: "read",
      askedAt: 0,
      slotsPerMachine: 4,
      settings: INITIAL_SETTINGS,
      withTotals: false,
    } as const;
    perform(scene.pool, { ...read, watch: { isLooking: true, surprisingArrivals: 4 } }, scene.now);
    const isTold = (): boolean => scene.news.some(({ kind }) => kind === "demand");
    for (let arrivals = 1; arrivals <= 3; arrivals++) {
      scene.ask();
      perform(scene.pool, { ...read, watch: null }, scene.now);
    }
    expect(isTold()).toBe(false);
    scene.ask();
    expect(isTold()).toBe(true);
  });

  it("is told once until the fleet looks, and again if it has not heard", () => {
    const scene = new PoolScene();
    const told = (): number => {
      scene.ask();
      return scene.news.splice(0).length;
    };
    expect([told(), told()]).toEqual([1, 0]);
    scene.pool.watch.unheard();
    expect([told(), told()]).toEqual([1, 0]);
    scene.pool.watch.looked({ isLooking: false, surprisingArrivals: null });
    expect([told(), told()]).toEqual([1, 0]);
    scene.pool.watch.looked({ isLooking: true, surprisingArrivals: 2 });
    expect([told(), told(), told()]).toEqual([0, 1, 0]);
  });

  it("tells served in time from served late", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.ask();
    scene.serve(scene.requestOf(mac), "hello");
    scene.ask();
    scene.advance(6000, mac);
    scene.serve(scene.requestOf(mac), "late");
    expect(scene.pool.ledger.demand.totals()).toEqual({
      arrivals: 2,
      good: 1,
      answered: 2,
      promptTokens: 10,
      completionTokens: 4,
    });
  });
});

describe("a machine that counts more than there can be", () => {
  it.each([
    [{ prompt_tokens: 1e9, completion_tokens: 1e9, cached_tokens: 1e9 }, [4096, 4096, 4096]],
    [{ prompt_tokens: 10, completion_tokens: 4087, cached_tokens: 11 }, [10, 4087, 10]],
    [{ prompt_tokens: 10, completion_tokens: 4086, cached_tokens: 10 }, [10, 4086, 10]],
    [{ prompt_tokens: 5000, completion_tokens: 1 }, [4096, 1, 0]],
  ])("is believed as far as the model's context reaches: %j", (usage, counted) => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.ask({ contextLength: 4096 });
    const sent = scene.requestOf(mac);
    const { request_id, stream } = sent.request;
    scene.accept(sent);
    scene.bytes(sent, "a");
    const timings = { queue_ms: 0, prefill_ms: 1, decode_ms: 1 };
    scene.say(mac, { type: "inference_complete", request_id, stream, usage, finish_reason: "stop", timings });
    const { promptTokens, completionTokens, cachedTokens } = scene.ended[0]?.tokens ?? NO_TOKENS;
    expect([promptTokens, completionTokens, cachedTokens]).toEqual(counted);
    const { demand } = scene.pool.report(scene.now, 4);
    expect([demand.promptTokens, demand.completionTokens]).toEqual(counted.slice(0, 2));
  });
});

it("an answer tells how fast its machine is", () => {
  const scene = new PoolScene();
  const mac = scene.join("mac-1");
  scene.ask();
  scene.serve(scene.requestOf(mac), "hello", { tokens: 501, cached: 1, ms: 1000 });
  expect(scene.pool.report(scene.now, 4).machines).toMatchObject([{ speed: { prefillTps: 500 } }]);
});

it("of its speed a machine is believed what machines can do", () => {
  const scene = new PoolScene();
  const models = [{ id: "m", size_bytes: 1, decode_tps: 1e9, prefill_tps: 1e9 }];
  const mac = scene.join("mac-1", { models });
  expect(mac.connection.registration).toMatchObject({ decodeTps: 10_000, prefillTps: 250_000 });
});
