import { expect, it } from "vitest";

import { RecentFirstTokens } from "../../../../core/pool/recent-first-tokens.ts";
import { PoolScene } from "./pool-scene.ts";

it("the median first token is of the last ten minutes, and of no more than 64", () => {
  const recent = new RecentFirstTokens();
  expect(recent.median(0)).toBeNull();
  for (const ms of [900, 100, 300]) recent.observe(ms, 0);
  expect(recent.median(599_999)).toBe(300);
  expect(recent.median(600_000)).toBeNull();
  for (let i = 0; i < 64; i++) recent.observe(10, 600_000);
  expect(recent.median(600_000)).toBe(10);
});

it("a pool reports it of the chats that it has answered", () => {
  const scene = new PoolScene();
  const mac = scene.join("mac-1");
  expect(scene.pool.report(scene.now, 4).firstTokenMs).toBeNull();
  for (const ms of [100, 700, 250]) {
    scene.ask();
    const sent = scene.requestOf(mac);
    scene.accept(sent);
    scene.now += ms;
    scene.bytes(sent, "x");
    scene.finish(sent);
  }
  expect(scene.pool.report(scene.now, 4).firstTokenMs).toBe(250);
});
