import { describe, expect, it } from "vitest";

import { DEFAULT_PLACEMENT_CONFIG, EMPTY_PLACEMENT_STATE } from "../../../../core/placement/config.ts";
import { plan } from "../../../../core/placement/plan.ts";
import type {
  ModelEstimate,
  Move,
  Persistence,
  PlacementInput,
  PlacementMachine,
  PlacementState,
} from "../../../../core/placement/types.ts";
import { A, aMachine, B } from "./placement-machine.ts";

const NOW = 10_000_000;
const FIT = { slots: 4, decodeTps: 20, prefillTps: 1000, loadSeconds: 30, onDisk: true };
const FITS = { [A]: FIT, [B]: FIT };
const config = DEFAULT_PLACEMENT_CONFIG;

function anInput(machines: readonly PlacementMachine[], a: number, b: number): PlacementInput {
  const tick = (modelId: typeof A, offered: number) => ({
    modelId,
    offered,
    good: offered,
    promptTokensMean: 500,
    outputTokensMean: 200,
  });
  const model = (modelId: typeof A) => ({ modelId, floor: 0, cap: null, priority: 1 });
  return {
    now: NOW,
    elapsedSeconds: 30,
    machines,
    demand: [tick(A, a), tick(B, b)],
    models: [model(A), model(B)],
  };
}

describe("moves for rough demand", () => {
  const machines = [
    ...Array.from({ length: 8 }, (_, at) => aMachine(`a${at}`, { fits: FITS })),
    aMachine("b0", { fits: FITS, model: B }),
  ];
  const { estimates } = plan(EMPTY_PLACEMENT_STATE, anInput(machines, 10, 12), config).state;

  /** B is asked for far more than usual. */
  function movesIf(known: Partial<ModelEstimate>, later: Persistence): readonly Move[] {
    const surge = { fast: 0.6, slow: 0.4, usual: 0.05, ...known };
    const state: PlacementState = {
      ...EMPTY_PLACEMENT_STATE,
      estimates: Object.fromEntries(
        Object.entries(estimates).map(([id, estimate]) => [
          id,
          id === B
            ? { ...estimate, ...surge, later: { ...estimate.later, persistence: later } }
            : { ...estimate, averagedSeconds: 360_000 },
        ]),
      ),
    };
    return plan(state, { ...anInput(machines, 0, 0), demand: [] }, config).moves;
  }

  const LASTS = { ofFast: 1, ofSlow: 1 };
  const PASSES = { ofFast: 0, ofSlow: 0 };
  const watched = { roughness: 6, averagedSeconds: 360_000 };

  it("are made if what is left of it later pays for them as well", () => {
    expect(movesIf(watched, LASTS).length).toBeGreaterThan(0);
    expect(movesIf(watched, PASSES)).toEqual([]);
  });

  it("are made by the next minutes alone where demand is calm, or has not been watched for long", () => {
    const lasting = movesIf({ ...watched, roughness: 3 }, LASTS);
    expect(lasting.length).toBeGreaterThan(0);
    expect(movesIf({ ...watched, roughness: 3 }, PASSES)).toEqual(lasting);
    expect(movesIf({ ...watched, averagedSeconds: 3600 }, PASSES)).toEqual(lasting);
  });

  it("say what they win and lose by both, so that it still is what pays for the gate", () => {
    const [calm] = movesIf({ ...watched, roughness: 3 }, PASSES);
    const [rather] = movesIf({ ...watched, roughness: 3.5 }, PASSES);
    expect(rather?.won).toBeLessThan(0.95 * (calm?.won ?? 0));
    expect((rather?.won ?? 0) - (rather?.lost ?? 0)).toBeGreaterThan(rather?.gate ?? 0);
  });

  it("ask less of a gain the longer it is known what is usual", () => {
    const gateAt = (hours: number): number => {
      const known = { roughness: 12, averagedSeconds: hours * 3600 };
      return movesIf(known, LASTS)[0]?.gate ?? Number.NaN;
    };
    const settled = movesIf(watched, LASTS)[0]?.gate ?? Number.NaN;
    expect(gateAt(0.2)).toBe(gateAt(1));
    expect(gateAt(1)).toBeGreaterThan(1.3 * gateAt(10));
    expect(gateAt(10)).toBeGreaterThan(settled);
    expect(gateAt(100)).toBeLessThan(1.02 * settled);
  });
});
