import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { DEFAULT_PLACEMENT_CONFIG } from "../../../../core/placement/config.ts";
import { UNSEEN } from "../../../../core/placement/demand.ts";
import { mostRoom } from "../../../../core/placement/most-room.ts";
import type { Fitness, PlacementMachine } from "../../../../core/placement/types.ts";
import { modelIdSchema } from "../../../../protocol/ids.ts";
import { aMachine } from "./placement-machine.ts";

const MODELS = ["a", "b", "c"].map((id) => modelIdSchema.parse(id));
const [A, B] = MODELS;

/** One slot, and requests of one token: a machine answers as many in a second as it writes tokens. */
function fit(perSecond: number): Fitness {
  return { slots: 1, decodeTps: perSecond, prefillTps: 1e12, loadSeconds: 60, onDisk: true };
}

function machine(at: number, perSecond: readonly number[], change: Partial<PlacementMachine> = {}) {
  const fits = Object.fromEntries(MODELS.map((model, index) => [model, fit(perSecond[index] ?? 0)]));
  return aMachine(`mac-${at}`, { fits, model: A ?? null, ...change });
}

function most(offered: readonly number[], machines: readonly PlacementMachine[], served = 0): number {
  const estimate = { ...UNSEEN, promptTokens: 0, outputTokens: 1 };
  const input = {
    now: 0,
    elapsedSeconds: 1,
    models: [],
    machines,
    demand: MODELS.map((modelId, index) => ({
      modelId,
      offered: offered[index] ?? 0,
      good: 0,
      promptTokensMean: null,
      outputTokensMean: null,
    })),
  };
  const estimates = Object.fromEntries(MODELS.map((model) => [model, estimate]));
  const state = { estimates, online: [], frozenUntil: 0 };
  return mostRoom(input, state, { ...DEFAULT_PLACEMENT_CONFIG, decodeFloorTps: 0 }, served);
}

/** The most that whole machines serve, by trying all. */
function bestByTrying(offered: readonly number[], rooms: readonly (readonly number[])[]): number {
  const [room, ...rest] = rooms;
  if (room === undefined) return 0;
  const served = (index: number): number => Math.min(offered[index] ?? 0, room[index] ?? 0);
  return Math.max(
    ...room.map((_, index) => {
      const left = offered.map((requests, at) => (at === index ? requests - served(index) : requests));
      return served(index) + bestByTrying(left, rest);
    }),
  );
}

describe("the most that there could be room for", () => {
  it("is all that is asked for, or all that equal machines can serve", () => {
    const three = [0, 1, 2].map((at) => machine(at, [10, 10, 10]));
    expect(most([5, 5, 0], three)).toBeCloseTo(10);
    expect(most([50, 5, 0], three)).toBeCloseTo(30);
    expect(most([0, 0, 0], three)).toBe(0);
    expect(most([5, 5, 5], [])).toBe(0);
  });

  it("sends each machine where it is good, and no further than it is asked for", () => {
    expect(most([10, 10, 0], [machine(0, [10, 1, 0]), machine(1, [1, 10, 0])])).toBeCloseTo(20, 0);
    expect(most([4, 100, 0], [machine(0, [10, 0, 0])])).toBeCloseTo(4, 0);
  });

  it("is no lower than what there was room for, and need not be sharper than is shown", () => {
    const machines = [machine(0, [10, 1, 0]), machine(1, [1, 10, 0])];
    expect(most([10, 10, 0], machines, 20)).toBe(20);
    const found = most([40, 10, 0], machines, 20);
    expect(found).toBeGreaterThanOrEqual(20);
    expect(found).toBeLessThanOrEqual(20.5);
  });

  it("leaves those where they are that may not be moved, and those out that are away", () => {
    const onlyA = { isPinned: true, model: A ?? null };
    expect(most([0, 10, 0], [machine(0, [10, 10, 10], onlyA)])).toBe(0);
    expect(most([10, 10, 0], [machine(0, [7, 10, 10], { isManageable: false })])).toBeCloseTo(7, 0);
    expect(most([10, 0, 0], [machine(0, [7, 7, 7], { state: "cordoned" })])).toBe(0);
    expect(most([0, 10, 0], [machine(0, [7, 7, 7], { state: "failed", model: B ?? null })])).toBeCloseTo(7);
  });

  it("is never less than whole machines can serve, and hardly more than the optimum in parts", () => {
    const speed = fc.integer({ min: 0, max: 20 });
    const rooms = fc.array(fc.tuple(speed, speed, speed), { minLength: 1, maxLength: 4 });
    const offered = fc.tuple(...MODELS.map(() => fc.integer({ min: 0, max: 40 })));
    fc.assert(
      fc.property(rooms, offered, (perMachine, wanted) => {
        const machines = perMachine.map((room, at) => machine(at, room));
        const found = most(wanted, machines);
        expect(found).toBeGreaterThanOrEqual(bestByTrying(wanted, perMachine) - 1e-6);
        expect(found).toBeLessThanOrEqual(1.03 * byGrid(wanted, perMachine) + 0.5);
      }),
      { numRuns: 300, seed: 20261130 },
    );
  });
});

const GRID = Array.from({ length: 21 }, (_, step) => step / 20);

/** The optimum by duality: the lowest of the bounds that all prices on a grid give. */
function byGrid(offered: readonly number[], rooms: readonly (readonly number[])[]): number {
  let lowest = Infinity;
  for (const a of GRID)
    for (const b of GRID)
      for (const c of GRID) {
        const prices = [a, b, c];
        const given = offered.reduce((sum, wanted, at) => sum + (1 - (prices[at] ?? 0)) * wanted, 0);
        const paid = rooms.map((room) => Math.max(...room.map((n, at) => n * (prices[at] ?? 0))));
        lowest = Math.min(lowest, given + paid.reduce((sum, n) => sum + n, 0));
      }
  return lowest;
}
