import { expect, it } from "vitest";

import { PoolScene } from "./pool-scene.ts";

/** How long requests hold slots, as the planner hears it. */

it("is told of requests whose machine had the model, and not of the load that another had to wait for", () => {
  const scene = new PoolScene();
  const mac = scene.join("mac-1", { loaded_models: [] });
  const served = (ms: number): void => {
    scene.ask();
    const sent = scene.requestOf(mac);
    scene.now += ms;
    scene.serve(sent, "x");
  };
  served(20_000);
  expect(scene.pool.report(scene.now, 4).holdMs).toBeNull();
  scene.heartbeat(mac);
  served(400);
  served(600);
  expect(scene.pool.report(scene.now, 4).holdMs).toBe(500);
});
