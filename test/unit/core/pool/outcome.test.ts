import { describe, expect, it } from "vitest";

import { PoolScene } from "./pool-scene.ts";

describe("the outcome of a request", () => {
  it("tells of the machine, the tokens and the times of one that was answered", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.ask();
    scene.now += 40;
    scene.serve(scene.requestOf(mac), "hello");
    expect(scene.ended).toMatchObject([
      {
        requestId: "req_1",
        keyId: "key",
        model: "m",
        stream: true,
        outcome: "ok",
        attempts: 1,
        machine: { machineId: "mac-1", chip: "Apple M3 Max" },
        queueMs: 0,
        firstTokenMs: 40,
        tookMs: 40,
        reservation: null,
      },
    ]);
  });

  it("tells how long one has waited, for a machine or in vain", () => {
    const scene = new PoolScene();
    const mac = scene.join("mac-1");
    scene.ask({ slots: 1 });
    scene.ask({ slots: 1 });
    scene.advance(2000, mac);
    scene.serve(scene.requestOf(mac), "hello");
    scene.ask({ slots: 1 });
    scene.advance(7000, mac);
    const waits = scene.ended.map(({ outcome, queueMs, attempts }) => [outcome, queueMs, attempts]);
    expect(waits).toEqual([
      ["ok", 0, 1],
      ["queue_timeout", 6000, 0],
    ]);
    scene.serve(scene.requestOf(mac), "hello");
    expect(scene.ended.at(-1)).toMatchObject({ outcome: "ok", queueMs: 2000 });
  });

  it("knows of no machine and no wait of one that was refused at once", () => {
    const scene = new PoolScene();
    scene.ask();
    expect(scene.ended).toMatchObject([
      { outcome: "model_unavailable", attempts: 0, machine: null, queueMs: null, firstTokenMs: null },
    ]);
  });
});
