import { describe, expect, it } from "vitest";

import { Survey } from "../../../../core/fleet/survey.ts";
import { TickSchedule } from "../../../../core/fleet/tick-schedule.ts";
import { STIRRED_MS } from "../../../../core/limits.ts";
import { machineIdSchema } from "../../../../protocol/ids.ts";
import { aReport } from "./fleet-scene.ts";
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

  it("are put off by nobody who stirs while they are regular, and counted anew at the end of a quiet time", () => {
    const schedule = new TickSchedule(null);
    schedule.ticked(0);
    schedule.stir(20_000);
    expect(schedule.dueAt(20_000, 30_000)).toBe(30_000);
    for (let i = 0; i < 2; i++) schedule.found(false);
    expect([schedule.isLooking, schedule.willLook]).toEqual([true, false]);
    schedule.found(false);
    expect(schedule.dueAt(20_000, 30_000)).toBe(240_000);
    schedule.stir(20_000);
    expect(schedule.dueAt(20_000, 30_000)).toBe(50_000);
  });

  it("go on when the clock is set back, or is behind that of an earlier life", () => {
    const hour = 3_600_000;
    const schedule = new TickSchedule({ lastAt: 2 * hour, quietTicks: 0 });
    expect(schedule.dueAt(hour, 30_000)).toBe(hour + 30_000);
    expect(schedule.dueAt(hour + 10_000, 30_000)).toBe(hour + 30_000);
    schedule.hurry(hour + 10_000);
    expect(schedule.dueAt(hour + 10_000, 30_000)).toBe(hour + 15_000);
  });

  it("stay regular as long as something is found at every third", () => {
    const schedule = new TickSchedule(null);
    for (const isBusy of [false, false, true, false, false, true]) schedule.found(isBusy);
    expect(schedule.isLooking).toBe(true);
  });

  it("come early for what cannot wait, but not too often, and not later than they would have", () => {
    const schedule = new TickSchedule(null);
    schedule.hurry(1000);
    expect(schedule.dueAt(1000, 30_000)).toBe(2000);
    schedule.hurry(1500);
    expect(schedule.dueAt(1500, 30_000)).toBe(2000);
    schedule.ticked(2000);
    schedule.hurry(2100);
    expect(schedule.dueAt(2100, 30_000)).toBe(7000);
    schedule.hurry(31_990);
    expect(schedule.dueAt(31_990, 30_000)).toBe(7000);
    schedule.ticked(32_000);
    schedule.hurry(61_990);
    expect(schedule.dueAt(61_990, 30_000)).toBe(62_000);
  });

  it("find the fleet astir while requests are open, or an order has moved or a machine come in five minutes", () => {
    const scene = new PlacementScene();
    scene.join("mac-1", A);
    scene.core.orders.assign(machineIdSchema.parse("mac-1"), A, "planned", false, scene.now);
    const [machines, intents] = [[...scene.core.directory.all()], [...scene.core.intents.all()]];
    const at = Math.max(...machines.map(({ registeredAt }) => registeredAt));
    const survey = new Survey(null, false);
    expect(survey.isStirring([], machines, at + STIRRED_MS - 1)).toBe(true);
    expect(survey.isStirring(intents, [], at + STIRRED_MS - 1)).toBe(true);
    expect(survey.isStirring(intents, machines, at + STIRRED_MS)).toBe(false);
    for (const open of [{ inFlight: 1 }, { queued: 1 }, { inFlight: 1, queued: 1 }]) {
      survey.answered(A, { ...aReport(A, []), ...open }, 0);
      expect(survey.isStirring([], [], at)).toBe(true);
    }
  });

  it("do not happen in a fleet without machines", () => {
    expect(new PlacementScene().core.tickDueAt(0)).toBeNull();
  });
});
