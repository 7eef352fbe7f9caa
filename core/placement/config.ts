import type { PlacementConfig, PlacementState } from "./types.ts";

/** The tuned parameters of the planner; their meanings and safe ranges are at the type. */
export const DEFAULT_PLACEMENT_CONFIG: PlacementConfig = {
  tickSeconds: 30,
  minDwellSeconds: 300,
  maxLoadsPerTick: 4,
  maxPendingLoads: 16,
  decodeFloorTps: 15,
  horizonSeconds: 900,
  kappa: 0.06,
  reloadRisk: 0.93,
  fastSeconds: 90,
  slowSeconds: 900,
  usualSeconds: 10_800,
  fairness: 1,
  drainSeconds: 15,
  vanishShare: 0.2,
  vanishWindowSeconds: 60,
  freezeSeconds: 120,
};

export const EMPTY_PLACEMENT_STATE: PlacementState = { estimates: {}, online: [], frozenUntil: 0 };
