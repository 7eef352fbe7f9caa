import { describe, expect, it } from "vitest";

import { TickSchedule } from "../../../../core/fleet/tick-schedule.ts";
import { A, PlacementScene } from "./placement-scene.ts";

describe("the looks at the fleet", () => {
  it("become rare when nothing happens, and regular with the first request", () => {
    const scene = new PlacementScene();
    scene.join("mac-1", A);
    for (const seconds of [300, 30, 30]) scene.tick(seconds);
    expect(scene.core.tickDueAt(scene.now)).toBe(scene.now + 240_000);
    scene.now += 60_000;
    scene.ask(A, 1, 1);
    expect(scene.core.tickDueAt(scene.now)).toBe(scene.now + 1_000);
    scene.tick(1);
    expect(scene.core.tickDueAt(scene.now)).toBe(scene.now + 30_000);
  });

  it("stay rare when the fleet sleeps between them", () => {
    const scene = new PlacementScene();
    scene.join("mac-1", A);
    for (const seconds of [300, 30, 30]) scene.tick(seconds);
    const { memory } = new TickSchedule(scene.plans.schedule());
    expect(memory).toEqual({ lastAt: scene.now, quietTicks: 3 });
    expect(new TickSchedule(memory).dueAt(scene.now + 1, 30_000)).toBe(scene.now + 240_000);
  });

  it("stay regular while an operator changes things or a machine comes", () => {
    const scene = new PlacementScene();
    scene.join("mac-1", A);
    for (const seconds of [300, 30, 30]) scene.tick(seconds);
    scene.join("mac-2", A);
    expect(scene.core.tickDueAt(scene.now)).toBe(scene.now + 30_000);
  });

  it("do not happen in a fleet without machines", () => {
    expect(new PlacementScene().core.tickDueAt(0)).toBeNull();
  });
});
