import { describe, expect, it } from "vitest";

import { chanceShare, NO_CHANCE_SEEN } from "../../../../core/placement/chance.ts";
import { DEFAULT_PLACEMENT_CONFIG, EMPTY_PLACEMENT_STATE } from "../../../../core/placement/config.ts";
import { plan } from "../../../../core/placement/plan.ts";
import type { PlacementInput, PlacementMachine, PlacementState } from "../../../../core/placement/types.ts";
import { A, aMachine } from "./placement-machine.ts";

/** Each serves 4 requests of 10 s at once. */
const FIT = { slots: 4, decodeTps: 20, prefillTps: 1000, loadSeconds: 30, onDisk: true };
const MACHINE_PER_TICK = 12;
const TICK_SECONDS = 30;
const HOUR = 3600 / TICK_SECONDS;

const aFleet = (size: number): PlacementMachine[] =>
  Array.from({ length: size }, (_, at) => aMachine(`m${at}`, { fits: { [A]: FIT } }));

interface Tick {
  readonly offered: number;
  readonly good: number;
  readonly machines?: number;
  readonly seconds?: number;
}

function after(ticks: readonly Tick[], before: PlacementState = EMPTY_PLACEMENT_STATE): PlacementState {
  return ticks.reduce((state, { offered, good, machines = 4, seconds = TICK_SECONDS }, at) => {
    const counted = { modelId: A, offered, good, promptTokensMean: 0, outputTokensMean: 200 };
    const input: PlacementInput = {
      now: 10_000_000 + at * 1000 * TICK_SECONDS,
      elapsedSeconds: seconds,
      machines: aFleet(machines),
      demand: [counted],
      models: [{ modelId: A, floor: 0, cap: null, priority: 1 }],
    };
    return plan(state, input, DEFAULT_PLACEMENT_CONFIG).state;
  }, before);
}

const shareAfter = (...ticks: Parameters<typeof after>): number => chanceShare(after(...ticks).chance);

const times = (count: number, tick: Tick): Tick[] => Array.from({ length: count }, () => tick);

describe("what chance takes", () => {
  const full = 4 * MACHINE_PER_TICK;

  it("is what is guessed as long as nothing was counted", () => {
    expect(chanceShare(NO_CHANCE_SEEN)).toBe(1);
    expect(shareAfter([])).toBe(1);
    expect(shareAfter([{ offered: 0, good: 0 }])).toBe(1);
  });

  it("is learned over hours to be little where full machines serve all that there is room for", () => {
    const served = { offered: full, good: full };
    expect(shareAfter(times(HOUR / 4, served))).toBeGreaterThan(0.75);
    expect(shareAfter(times(24 * HOUR, served))).toBe(0.2);
  });

  it("is learned to be more where more is lost than was guessed, and never more than some", () => {
    const guessed = after(times(24 * HOUR, { offered: full, good: full })).chance;
    const asGuessed = full * (1 - guessed.guessed / guessed.offered);
    expect(shareAfter(times(24 * HOUR, { offered: full, good: asGuessed }))).toBeCloseTo(1, 5);
    expect(shareAfter(times(24 * HOUR, { offered: full, good: asGuessed - 1 }))).toBeGreaterThan(1.2);
    expect(shareAfter(times(24 * HOUR, { offered: full, good: full / 2 }))).toBe(2.5);
  });

  it("has no part in what there was no room for", () => {
    const over = { offered: 3 * full, good: full };
    expect(shareAfter(times(24 * HOUR, over))).toBeCloseTo(1, 1);
  });

  it("has no part in what machines did not serve that came or left within the tick", () => {
    const before = after(times(2, { offered: full, good: full }));
    for (const machines of [2, 8]) {
      const moved = { offered: full, good: Math.min(4, machines) * MACHINE_PER_TICK, machines };
      expect(after([moved], before).chance.lost).toBeCloseTo(0, 9);
    }
  });

  it("stays as it is while nothing is asked for", () => {
    const known = after(times(HOUR, { offered: full, good: full - 3 }));
    expect(after(times(100, { offered: 0, good: 0 }), known).chance).toEqual(known.chance);
  });

  it("is not unlearned in one tick, however long nobody has looked", () => {
    const known = after(times(24 * HOUR, { offered: full, good: full - 2 }));
    const late = after([{ offered: 1200 * full, good: 0, seconds: 36_000 }], known);
    expect(late.chance.known - known.chance.known).toBeLessThan(0.01);
  });
});
