import { expect, it } from "vitest";

import { flushIntervalMs } from "../../../../core/pool/flush-interval.ts";
import { PoolScene } from "./pool-scene.ts";

it.each([
  [0, 40],
  [320, 40],
  [321, 41],
  [640, 80],
  [800, 100],
  [10_000, 100],
])("while a pool has %d requests on machines, bytes are collected for %d ms", (requests, ms) => {
  expect(flushIntervalMs(requests)).toBe(ms);
});

it("machines hear with each request, and when they register, how long to collect", () => {
  const scene = new PoolScene();
  const machines = Array.from({ length: 10 }, (_, i) => scene.join(`mac-${i}`, { max_concurrency: 64 }));
  for (let i = 0; i < 600; i++) scene.ask({ slots: 64 });
  const told = machines
    .flatMap((machine) => scene.requestsOf(machine))
    .map(({ request }) => request["flush_ms"]);
  expect(told).toHaveLength(600);
  expect(told.filter((ms) => ms === 40)).toHaveLength(320);
  expect(told).toContain(75);
  const late = scene.dial("late");
  scene.register(late);
  scene.admit(late);
  expect(late.socket.take("registered")).toMatchObject([{ flush_ms: 75 }]);
});
