import { evictDurableObject } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";

import type { RequestOutcome } from "../../core/pool/outcome.ts";
import { RequestLog } from "../../durable-objects/request-log.ts";
import { expectAnswer, join } from "./fake-provider.ts";
import { chat, errorOf, poolOf, scene, testEnv } from "./scene.ts";

const aRequest: RequestOutcome = {
  requestId: "req_1",
  keyId: "key",
  model: "m",
  stream: false,
  outcome: "ok",
  tokens: { promptTokens: 0, completionTokens: 0, cachedTokens: 0 },
  attempts: 1,
  machine: { machineId: "mac-1", chip: "M3" },
  queueMs: 0,
  firstTokenMs: 1,
  tookMs: 2,
  reservation: null,
  leastTokens: 0,
};

let warned: unknown[];

beforeEach(() => {
  warned = [];
  vi.spyOn(console, "warn").mockImplementation((line: unknown) => {
    warned.push(line);
  });
});

describe("points of requests", () => {
  it("are written no more at once than the platform takes, and none is lost", () => {
    const written: unknown[] = [];
    const log = new RequestLog({ writeDataPoint: (point) => written.push(point) });
    for (let i = 0; i < 45; i++) log.add(aRequest);
    for (const sum of [20, 40, 45]) {
      expect(log.isWritten).toBe(false);
      log.write();
      expect(written).toHaveLength(sum);
    }
    expect(log.isWritten).toBe(true);
  });

  it("have a limit while they wait, and what is dropped is logged, once", () => {
    const log = new RequestLog({ writeDataPoint: () => undefined });
    for (let i = 0; i < 1003; i++) log.add(aRequest);
    for (let i = 0; i < 2; i++) log.write();
    expect(warned).toEqual([{ event: "points_dropped", points: 3 }]);
  });

  it("are not kept where there is nothing to write to", () => {
    const log = new RequestLog(undefined);
    log.add(aRequest);
    expect(log.isWritten).toBe(true);
  });

  it("are written by a pool for what it has served and refused, also after its sleep", async () => {
    const at = await scene();
    const dataset = testEnv.REQUEST_POINTS;
    if (dataset === undefined) throw new Error("no dataset is bound");
    const write = vi.spyOn(Object.getPrototypeOf(dataset) as AnalyticsEngineDataset, "writeDataPoint");
    await errorOf(await chat(at));
    const machine = await join(at);
    await expectAnswer(at, machine);
    // Writes what is counted, which the pool would stay awake for.
    await poolOf(at).totals();
    await evictDurableObject(poolOf(at));
    await expectAnswer(at, machine);
    const blobs = write.mock.calls.map(([point]) => point?.blobs).filter((of) => of?.[0] === at.model);
    expect(blobs).toEqual([
      [at.model, "failed", "model_unavailable", "", "whole"],
      [at.model, "ok", "ok", "Apple M3 Ultra", "stream"],
      [at.model, "ok", "ok", "Apple M3 Ultra", "stream"],
    ]);
  });
});

describe("the log", () => {
  it("has a line with the request's id for each that failed on a machine, and none for the others", async () => {
    const at = await scene();
    await errorOf(await chat(at));
    const machine = await join(at);
    await expectAnswer(at, machine);
    const pending = chat(at, { stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, "data: a\n\n");
    machine.error(request, "fault", "engine_crashed");
    expect(await (await pending).text()).toContain('"error"');
    expect(warned).toEqual([
      {
        event: "request_failed",
        requestId: request["request_id"],
        keyId: at.keyId,
        model: at.model,
        outcome: "provider_error",
        machineId: machine.machineId,
        attempts: 1,
        tookMs: expect.any(Number),
      },
    ]);
  });
});
