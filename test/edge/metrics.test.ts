import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import { DEMAND_NEWS_DELAY_MS } from "../../core/limits.ts";
import { Fleet } from "../../durable-objects/fleet.ts";
import { ModelPool } from "../../durable-objects/model-pool.ts";
import { connect, expectAnswer, join, registerMessage } from "./fake-provider.ts";
import {
  ADMIN,
  breakDown,
  chat,
  errorOf,
  fetchEdge,
  fleet,
  pin,
  poolOf,
  resetObject,
  scene,
  setFlag,
  stopClock,
  unique,
  until,
  type Scene,
} from "./scene.ts";

type Samples = ReadonlyMap<string, number>;

async function scrape(): Promise<Samples> {
  const response = await fetchEdge("/metrics", { headers: { authorization: `Bearer ${ADMIN}` } });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const lines = (await response.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

const up = (at: Scene): string => `poolkeeper_pool_up{model="${at.model}"}`;

const requests = (samples: Samples, at: Scene, outcome: string): number =>
  samples.get(`poolkeeper_requests_total{model="${at.model}",outcome="${outcome}"}`) ?? 0;

describe("metrics", () => {
  it("are closed to all without the admin token", async () => {
    const { apiKey } = await scene();
    for (const authorization of ["Bearer wrong", `Bearer ${apiKey}`]) {
      const response = await fetchEdge("/metrics", { headers: { authorization } });
      expect(await errorOf(response)).toMatchObject({ status: 401, code: "invalid_api_key" });
    }
    expect((await fetchEdge("/metrics")).status).toBe(401);
  });

  it("count requests by outcome, and never fall, whatever becomes of the pool in between", async () => {
    const at = await scene();
    expect(requests(await scrape(), at, "ok")).toBe(0);
    expect(await errorOf(await chat(at))).toMatchObject({ status: 503 });
    const machine = await join(at);
    await expectAnswer(at, machine);
    const first = await scrape();
    expect(requests(first, at, "ok")).toBe(1);
    expect(requests(first, at, "model_unavailable")).toBe(1);
    await evictDurableObject(poolOf(at));
    await expectAnswer(at, machine);
    expect(requests(await scrape(), at, "ok")).toBe(2);
    // What a scrape has shown is on disk.
    await resetObject(poolOf(at));
    const last = await scrape();
    expect(requests(last, at, "ok")).toBe(2);
    expect(last.get(`poolkeeper_tokens_total{model="${at.model}",kind="completion"}`)).toBe(6);
    expect(last.get(`poolkeeper_pool_up{model="${at.model}"}`)).toBe(1);
  });

  it("know an idle pool by what it said last, and let it sleep, also when the fleet has slept", async () => {
    const at = await scene();
    await stopClock({ waits: true });
    expect((await chat(at)).status).toBe(503);
    expect(requests(await scrape(), at, "model_unavailable")).toBe(1);
    // As if the pool had lost its memory before it could tell of its request, which the scrape has seen.
    await resetObject(poolOf(at));
    await resetObject(fleet());
    for (let i = 0; i < 2; i++) {
      const samples = await scrape();
      expect(requests(samples, at, "model_unavailable")).toBe(1);
      expect(samples.get(up(at))).toBe(1);
      expect(samples.get(`poolkeeper_pool_queued{model="${at.model}"}`)).toBe(0);
    }
    // Nobody was woken for it.
    await expect(evictDurableObject(poolOf(at))).rejects.toThrow("not currently running");
    expect((await chat(at)).status).toBe(503);
    vi.setSystemTime(Date.now() + DEMAND_NEWS_DELAY_MS);
    await until(async () => requests(await scrape(), at, "model_unavailable") === 2);
  });

  it("count what happens in a pool while its requests are open, and what comes of them", async () => {
    const at = await scene();
    await scrape();
    const machine = await join(at);
    const pending = chat(at);
    const request = await machine.next("inference_request");
    expect((await scrape()).get(`poolkeeper_pool_in_flight{model="${at.model}"}`)).toBe(1);
    machine.answer(request, "{}");
    await pending;
    expect(requests(await scrape(), at, "ok")).toBe(1);
  });

  it("have the times of streams and of whole answers, and of those that left", async () => {
    const at = await scene();
    const machine = await join(at);
    await expectAnswer(at, machine);
    const whole = chat(at);
    machine.answer(await machine.next("inference_request"), "{}");
    await whole;
    const client = new AbortController();
    const left = chat(at, { stream: true }, { signal: client.signal });
    await machine.next("inference_request");
    client.abort();
    await expect(left).rejects.toThrow("abort");
    await machine.next("cancel");
    const samples = await scrape();
    expect(requests(samples, at, "cancelled")).toBe(1);
    expect(samples.get(`poolkeeper_ttft_seconds_count{model="${at.model}"}`)).toBe(2);
    expect(samples.get(`poolkeeper_ttft_seconds_bucket{model="${at.model}",le="+Inf"}`)).toBe(2);
    expect(samples.get(`poolkeeper_queue_wait_seconds_count{model="${at.model}"}`)).toBe(3);
  });

  it("show the pools' machines, and switches that ended, over a sleep of the fleet", async () => {
    const a = await scene();
    const b = await scene();
    const machineId = unique("mac");
    const inA = await connect(a, machineId);
    inA.send(registerMessage(machineId, [a.model, b.model], { version: "0.7.0" }));
    await inA.next("registered");
    const of = (state: string, at: Scene) => `poolkeeper_pool_machines{model="${at.model}",state="${state}"}`;
    expect((await scrape()).get(of("unmanaged", a))).toBe(1);
    await setFlag("assignment_gate", "on");
    const { epoch } = await pin(machineId, b);
    await inA.next("assign_model");
    const inB = await connect({ ...b, token: a.token }, machineId);
    const held = { loaded_models: [], version: "0.7.0", assignment: { model_id: b.model, epoch } };
    inB.send(registerMessage(machineId, [a.model, b.model], held));
    await inB.next("registered");
    const say = (status: string, fields: object = {}): void =>
      inB.send({ type: "assign_model_status", model_id: b.model, epoch, status, ...fields });
    say("loading", { progress: 0.5 });
    await until(async () => (await scrape()).get(of("loading", b)) === 1);
    const gauges = await scrape();
    expect(gauges.get(`poolkeeper_pool_desired_machines{model="${b.model}"}`)).toBe(1);
    expect(gauges.get(`poolkeeper_demand_machines{model="${b.model}"}`)).toBe(0);
    say("succeeded");
    await until(async () => (await scrape()).get(of("serving", b)) === 1);
    const switched = `poolkeeper_switches_total{model="${b.model}",outcome="succeeded"}`;
    await until(async () => (await scrape()).get(switched) === 1);
    await evictDurableObject(fleet());
    expect((await scrape()).get(switched)).toBe(1);
    await setFlag("assignment_gate", "off");
    // A release is no switch.
    expect([...(await scrape()).keys()].filter((name) => name.startsWith("poolkeeper_switches"))).toEqual([
      switched,
    ]);
  });

  it("lack what does not answer, and have the rest", async () => {
    const at = await scene();
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    expect((await chat(at)).status).toBe(503);
    await runInDurableObject<Fleet, void>(fleet(), (_, state) => {
      vi.spyOn(Fleet.prototype, "metrics").mockImplementationOnce(() => breakDown(state));
    });
    const withoutFleet = await scrape();
    expect(withoutFleet.get(up(at))).toBe(1);
    expect(requests(withoutFleet, at, "model_unavailable")).toBe(1);
    expect(withoutFleet.has("poolkeeper_co_resident_machines")).toBe(false);
    const other = await scene();
    await runInDurableObject<ModelPool, void>(poolOf(other), (pool, state) => {
      const { perform } = pool;
      vi.spyOn(ModelPool.prototype, "perform").mockImplementation(function (this: ModelPool, call) {
        return this === pool ? breakDown(state) : perform.call(this, call);
      });
    });
    const withoutPool = await scrape();
    expect(withoutPool.get(up(other))).toBe(0);
    expect(withoutPool.get(up(at))).toBe(1);
    expect(withoutPool.get("poolkeeper_co_resident_machines")).toBe(0);
  });

  it("lack a pool that does not answer while the fleet does not either", async () => {
    const [at, other] = [await scene(), await scene()];
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    await runInDurableObject<Fleet, void>(fleet(), (_, state) => {
      vi.spyOn(Fleet.prototype, "metrics").mockImplementationOnce(() => breakDown(state));
    });
    await runInDurableObject<ModelPool, void>(poolOf(other), (pool, state) => {
      const { totals } = pool;
      vi.spyOn(ModelPool.prototype, "totals").mockImplementation(function (this: ModelPool) {
        return this === pool ? breakDown(state) : totals.call(this);
      });
    });
    const samples = await scrape();
    expect([samples.get(up(at)), samples.get(up(other))]).toEqual([1, 0]);
  });
});
