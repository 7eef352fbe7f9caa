import { expect, it } from "vitest";

import { Placement } from "../../../../core/fleet/placement.ts";
import type { ScoredDay } from "../../../../core/placement/score.ts";
import { B, twoOnA, type PlacementScene } from "./placement-scene.ts";

const DAY_MS = 86_400_000;

/** As if the planner had this behind it, the newest last. */
function remember(scene: PlacementScene, days: readonly ScoredDay[]): void {
  scene.plans.saveScore({ mode: "shadow", elsewhere: [], days, trial: null });
}

function aShadowDay(scene: PlacementScene, daysAgo: number, otherwise: number): ScoredDay {
  const dayAt = scene.now - (scene.now % DAY_MS) - daysAgo * DAY_MS;
  const counts = { machineSeconds: 86_400, offered: 1_000, good: 1, asPlaced: 500, otherwise, switches: 1 };
  return { dayAt, mode: "shadow", ...counts };
}

/** The same fleet with the score that was written down, one request for `b` and one tick later. */
function tickOn(scene: PlacementScene): Placement {
  Object.defineProperty(scene.core, "placement", {
    value: new Placement(scene.plans, {
      assign: (machineId, model) => scene.orders.push(`${machineId} ${model}`),
    }),
  });
  scene.ask(B, 20);
  scene.tick();
  return scene.core.placement;
}

it("[C15] enforce with a trial sends nothing until shadow has won, then moves machines, also after a restart", () => {
  const scene = twoOnA({ placement: "enforce", placement_trial_days: "2" });
  scene.orders.length = 0;
  remember(scene, [aShadowDay(scene, 1, 600)]);
  const waiting = tickOn(scene);
  const { flags } = scene.core.flagBook;
  expect(scene.orders).toEqual([]);
  expect(waiting.actsAs(flags)).toBe("shadow");
  expect(waiting.trialReport(flags, scene.now)).toMatchObject({
    days: 2,
    days_won: 1,
    has_fallen_back: false,
  });
  expect(waiting.last).toMatchObject({ mode: "shadow", moves: [{ to: B, epoch: null }, { epoch: null }] });

  remember(scene, [aShadowDay(scene, 2, 600), aShadowDay(scene, 1, 600)]);
  const promoted = tickOn(scene);
  // The tick that found it has shown its plan; the next one is carried out.
  expect(promoted.actsAs(flags)).toBe("enforce");
  expect(new Placement(scene.plans, { assign: () => null }).actsAs(flags)).toBe("enforce");
  scene.tick();
  expect(scene.orders).toContain("mac-1 b");
  expect(promoted.trialReport(flags, scene.now)).toMatchObject({ days_won: null });
});

it("a trial that is not asked for is none, and one that was begun ends with the flag", () => {
  const scene = twoOnA({ placement: "enforce", placement_trial_days: "1" });
  remember(scene, []);
  const placement = tickOn(scene);
  expect(placement.actsAs(scene.core.flagBook.flags)).toBe("shadow");
  scene.set({ placement_trial_days: "0" });
  const { flags } = scene.core.flagBook;
  expect(placement.actsAs(flags)).toBe("enforce");
  expect(placement.trialReport(flags, scene.now)).toBeNull();
  scene.tick();
  expect(scene.plans.score()?.trial).toBeNull();
});
