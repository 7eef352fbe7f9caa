import { describe, expect, it } from "vitest";

import { readFlags } from "../../../../core/flags.ts";
import { placementReport } from "../../../../core/fleet/placement-report.ts";
import { Placement } from "../../../../core/fleet/placement.ts";
import type { ScoredDay } from "../../../../core/placement/score.ts";
import { A, B, twoOnA } from "./placement-scene.ts";

describe("the placement report", () => {
  it("says by day what the planner was worth, the newest first, also after a restart", () => {
    const scene = twoOnA({ placement: "shadow" });
    for (let tick = 0; tick < 8; tick++) {
      scene.ask(B, 20);
      scene.tick();
    }
    scene.set({ placement: "enforce" });
    scene.ask(B, 5);
    scene.tick();
    const again = new Placement(scene.plans, { assign: () => null });
    for (const { last, scoredDays } of [scene.core.placement, again]) {
      const { score } = placementReport(last, [], scoredDays, scene.core.flagBook.flags);
      expect(score).toMatchObject([
        { mode: "enforce", offered: 5, room_as_placed: 0 },
        { mode: "shadow", offered: 160, served_in_time: 0, room_as_placed: 0, switches: 2 },
      ]);
      expect(score[1]?.room_otherwise).toBeGreaterThan(0);
      expect(score[1]?.switches_per_machine_day).toBeNull();
    }
  });

  it("says how often a machine moves a day once a day of one machine is counted", () => {
    const day: ScoredDay = {
      dayAt: 0,
      mode: "enforce",
      machineSeconds: 4 * 86_400,
      offered: 1,
      good: 1,
      asPlaced: 1,
      otherwise: 1,
      switches: 9,
    };
    const { score } = placementReport(null, [], [day, { ...day, machineSeconds: 86_399 }], readFlags({}));
    expect(score.map((row) => row.switches_per_machine_day)).toEqual([null, 2.25]);
  });

  it("says who moves and why, and who stays and why", () => {
    const scene = twoOnA();
    scene.ask(A, 2, 2);
    scene.ask(B, 2);
    scene.tick();
    const { placement, flagBook } = scene.core;
    const report = placementReport(
      placement.last,
      placement.history(5),
      placement.scoredDays,
      flagBook.flags,
    );
    expect(report).toMatchObject({
      placement: "enforce",
      acts_as: "enforce",
      halted: null,
      moves: [
        { to: "b", reason: "first_machine", epoch: 1 },
        { to: "a", reason: "adopted" },
      ],
      history: [{ mode: "enforce" }, { halted: "no_demand_seen" }],
    });
    expect(report.models.find(({ model_id }) => model_id === "b")).toMatchObject({ offered: 2, desired: 1 });
  });
});
