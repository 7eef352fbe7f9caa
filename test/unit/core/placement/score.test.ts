import { describe, expect, it } from "vitest";

import { DEFAULT_PLACEMENT_CONFIG, EMPTY_PLACEMENT_STATE } from "../../../../core/placement/config.ts";
import { plan } from "../../../../core/placement/plan.ts";
import { NO_SCORE, scored, type Score, type ScoredMode } from "../../../../core/placement/score.ts";
import type {
  Move,
  PlacementConfig,
  PlacementMachine,
  PlacementState,
} from "../../../../core/placement/types.ts";
import { A, aMachine, B } from "./placement-machine.ts";

const DAY_MS = 86_400_000;
const NOON = 20_000 * DAY_MS + DAY_MS / 2;
/** Four requests at once, of 200 tokens each: one machine answers 12 requests in a tick of 30 s. */
const FIT = { slots: 4, decodeTps: 20, prefillTps: 1e12, loadSeconds: 60, onDisk: true };
const NO_DWELL = { ...DEFAULT_PLACEMENT_CONFIG, minDwellSeconds: 0 };

/** Four machines that hold A, and ticks in which 40 requests want B and 10 want A. */
class Fleet {
  now = NOON;
  elapsedSeconds = 30;
  score: Score = NO_SCORE;
  machines = ["m0", "m1", "m2", "m3"].map((machineId) =>
    aMachine(machineId, { fits: { [A]: FIT, [B]: FIT } }),
  );
  #state: PlacementState = EMPTY_PLACEMENT_STATE;
  readonly #config: PlacementConfig;

  constructor(config: PlacementConfig = NO_DWELL) {
    this.#config = config;
  }

  /** @param wanted how many of the 50 requests want B. */
  tick(mode: ScoredMode | null, moves: readonly Move[] = [], wanted = 40): void {
    this.now += this.elapsedSeconds * 1000;
    const input = {
      now: this.now,
      elapsedSeconds: this.elapsedSeconds,
      machines: this.machines,
      demand: [
        { modelId: A, offered: 50 - wanted, good: 9, promptTokensMean: 1, outputTokensMean: 200 },
        { modelId: B, offered: wanted, good: 0, promptTokensMean: 1, outputTokensMean: 200 },
      ],
      models: [A, B].map((modelId) => ({ modelId, floor: 0, cap: null, priority: 1 })),
    };
    const after = plan(this.#state, input, this.#config).state;
    this.score = scored(this.score, mode, { before: this.#state, after, input, moves }, this.#config);
    this.#state = after;
  }

  change(machineId: string, change: Partial<PlacementMachine>): void {
    this.machines = this.machines.map((each) =>
      each.machineId === machineId ? { ...each, ...change } : each,
    );
  }

  get day() {
    const day = this.score.days.at(-1);
    if (day === undefined) throw new Error("nothing was scored");
    const { atMost = Number.NaN } = day;
    return {
      ...day,
      asPlaced: rounded(day.asPlaced),
      otherwise: rounded(day.otherwise),
      atMost: rounded(atMost),
    };
  }
}

function rounded(requests: number): number {
  return Math.round(requests * 1e6) / 1e6;
}

function aMove(machineId: string, from: Move["from"], to: Move["to"]): Move {
  return { machineId, from, to, reason: "demand_gain", won: 1, lost: 0, gate: 0 };
}

describe("the score", () => {
  it("[C15] in shadow counts what the plans would have had room for, after their loads", () => {
    const fleet = new Fleet();
    fleet.tick("shadow");
    expect(fleet.day).toMatchObject({ offered: 50, good: 9, asPlaced: 10, otherwise: 10, switches: 3 });
    fleet.tick("shadow");
    // The machine that is left has room for all that want A; the others are loading.
    expect(fleet.day).toMatchObject({ asPlaced: 20, otherwise: 20, switches: 3 });
    fleet.tick("shadow");
    expect(fleet.day).toMatchObject({ asPlaced: 30, otherwise: 20 + 10 + 36, switches: 3 });
    // Four machines answer 12 requests in a tick, of the 50 that come.
    expect(fleet.day.atMost).toBeCloseTo(3 * 48, 0);
    expect(fleet.day.machineSeconds).toBe(3 * 4 * 30);
  });

  it("[C11] in shadow lets a machine stay for its dwell once it serves, as it would in enforce", () => {
    const fleet = new Fleet({ ...NO_DWELL, minDwellSeconds: 300 });
    fleet.tick("shadow");
    const readyAt = fleet.now + 60_000;
    while (fleet.now < readyAt + 270_000) fleet.tick("shadow", [], 0);
    expect(fleet.day.switches).toBe(3);
    fleet.tick("shadow", [], 0);
    expect(fleet.day.switches).toBeGreaterThan(3);
  });

  it("in shadow takes a machine that nobody has placed for one that swaps models no more", () => {
    const fleet = new Fleet();
    fleet.machines = fleet.machines.map((machine) => ({ ...machine, state: "unmanaged" }));
    const inB = () => fleet.score.elsewhere.filter(({ model }) => model === B).length;
    fleet.tick("shadow");
    expect(fleet.score.elsewhere).toHaveLength(4);
    expect(fleet.day).toMatchObject({ asPlaced: 10, otherwise: 10, switches: 3 });
    for (const model of [B, A, B, A]) {
      for (const machineId of ["m0", "m1", "m2", "m3"]) fleet.change(machineId, { model });
      fleet.tick("shadow");
      expect(inB()).toBe(3);
    }
    // All machines hold what more or fewer want in turn, so half of the time they have room for all that want B.
    expect(fleet.day).toMatchObject({ asPlaced: 10 + 40 + 10 + 40 + 10, switches: 3 });
    expect(fleet.day.otherwise).toBe(10 + 10 + 3 * (10 + 36));
  });

  it("counts a cordoned machine in neither fleet, wherever it would be otherwise", () => {
    const fleet = new Fleet();
    for (let tick = 0; tick < 3; tick++) fleet.tick("shadow");
    const [moved] = fleet.score.elsewhere;
    const before = fleet.day;
    fleet.change(moved?.machineId ?? "", { state: "cordoned", model: null });
    fleet.tick("shadow");
    expect(fleet.day.machineSeconds - before.machineSeconds).toBe(3 * 30);
    // Two of the three that would hold B are left.
    expect(fleet.day.otherwise - before.otherwise).toBe(10 + 24);
    expect(fleet.day.switches).toBe(before.switches);
  });

  it("in enforce counts what there would have been room for had nothing been moved", () => {
    const fleet = new Fleet();
    fleet.tick("enforce", [aMove("m1", A, B), aMove("m2", A, A)]);
    fleet.change("m1", { model: B });
    fleet.tick("enforce");
    expect(fleet.day).toMatchObject({ asPlaced: 10 + 10 + 12, otherwise: 20, switches: 1 });
    fleet.change("m1", { model: A });
    fleet.tick("enforce", [aMove("m1", A, B)]);
    expect(fleet.score.elsewhere).toMatchObject([{ machineId: "m1", model: A }]);
    expect(fleet.day.switches).toBe(2);
  });

  it("in enforce knows where a machine was that failed and was given another model", () => {
    const fleet = new Fleet();
    fleet.change("m1", { state: "failed" });
    fleet.change("m2", { state: "empty", model: null });
    fleet.tick("enforce", [aMove("m1", null, B), aMove("m2", null, B)]);
    expect(fleet.score.elsewhere).toMatchObject([{ machineId: "m1", model: A }]);
    expect(fleet.day.switches).toBe(0);
  });

  it("follows the real fleet where operators decide, and where machines go", () => {
    const fleet = new Fleet();
    fleet.tick("shadow");
    expect(fleet.score.elsewhere).toHaveLength(3);
    const [first, second, third] = fleet.score.elsewhere.map(({ machineId }) => machineId);
    fleet.change(first ?? "", { isPinned: true });
    fleet.change(second ?? "", { fits: { [A]: FIT } });
    fleet.machines = fleet.machines.filter(({ machineId }) => machineId !== third);
    fleet.tick("shadow", []);
    const left = fleet.score.elsewhere.map(({ machineId }) => machineId);
    for (const gone of [first, second, third]) expect(left).not.toContain(gone);
    fleet.machines = fleet.machines.map((machine) => ({ ...machine, state: "offline" }));
    const before = fleet.day;
    fleet.tick("shadow");
    expect(fleet.day.otherwise).toBe(before.otherwise);
  });

  it("takes no machine for online while nobody looked at the fleet", () => {
    const fleet = new Fleet();
    fleet.tick("enforce");
    fleet.elapsedSeconds = 8 * 3600;
    fleet.tick("enforce");
    expect(fleet.day.machineSeconds).toBeLessThan(4 * 600);
  });

  it("leaves to its owner what its owner withholds", () => {
    for (const mode of ["shadow", "enforce"] as const) {
      const fleet = new Fleet();
      fleet.tick(mode, [aMove("m1", A, B)]);
      const [moved] = fleet.score.elsewhere.map(({ machineId }) => machineId);
      fleet.change(moved ?? "", { model: B, state: "unmanaged", isManageable: false });
      fleet.tick(mode);
      expect(fleet.score.elsewhere.map(({ machineId }) => machineId)).not.toContain(moved);
    }
  });

  it("begins a row with each day and mode and an imagined fleet with each mode, and keeps 30 rows", () => {
    const fleet = new Fleet();
    fleet.tick("shadow");
    fleet.tick(null);
    expect(fleet.score).toMatchObject({ mode: null, elsewhere: [], days: [{ mode: "shadow" }] });
    fleet.tick("shadow");
    fleet.tick("enforce");
    expect(fleet.score.elsewhere).toEqual([]);
    expect(fleet.score.days).toMatchObject([
      { mode: "shadow", offered: 100, dayAt: NOON - DAY_MS / 2 },
      { mode: "enforce", offered: 50 },
    ]);
    for (let day = 1; day < 40; day++) {
      fleet.now += DAY_MS - 30_000;
      fleet.tick("enforce");
    }
    expect(fleet.score.days).toHaveLength(30);
    expect(fleet.day).toMatchObject({ offered: 50, dayAt: NOON + 38.5 * DAY_MS });
  });
});
