import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it, vi } from "vitest";

import type { Env } from "../../durable-objects/env.ts";
import { app } from "../../worker/app.ts";
import { connect, expectAnswer, join, registerMessage } from "./fake-provider.ts";
import {
  ADMIN,
  adminCall,
  chat,
  errorOf,
  fetchEdge,
  fleet,
  poolOf,
  resetObject,
  scene,
  testEnv,
  unique,
  until,
  type Scene,
} from "./scene.ts";

type Samples = ReadonlyMap<string, number>;

async function scrape(env: Env = testEnv): Promise<Samples> {
  const request = new Request("http://edge/metrics", { headers: { authorization: `Bearer ${ADMIN}` } });
  const response = await app.fetch(request, env);
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
    await adminCall("PUT", "/flags/assignment_gate", { value: "on" });
    const { epoch } = await adminCall<{ epoch: number }>("POST", `/machines/${machineId}/pin`, {
      model_id: b.model,
    });
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
    await adminCall("PUT", "/flags/assignment_gate", { value: "off" });
    // A release is no switch.
    expect([...(await scrape()).keys()].filter((name) => name.startsWith("poolkeeper_switches"))).toEqual([
      switched,
    ]);
  });

  it("lack what does not answer, and have the rest", async () => {
    const at = await scene();
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    const broken = { metrics: () => Promise.reject(new Error("out of order")) };
    const namespace = { getByName: () => broken } as unknown as Env["FLEET"];
    const samples = await scrape({ ...testEnv, FLEET: namespace });
    expect(samples.get(`poolkeeper_pool_up{model="${at.model}"}`)).toBe(1);
    expect(samples.has("poolkeeper_co_resident_machines")).toBe(false);
  });
});
