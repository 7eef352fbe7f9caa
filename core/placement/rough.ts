import type { ModelEstimate } from "./types.ts";

/**
 * Rules for rough demand, whose bursts are over before a machine has earned its load. A move for it must pay not only by the
 * demand of the next minutes but also by what will be left of it later. How much is left takes hours to learn; until then the
 * gate is higher instead.
 */

/**
 * From a roughness of `from` on these rules apply in part, from `full` on in full; each point beyond `full` adds the surcharge
 * to the gate.
 */
const ROUGHNESS = { from: 3, full: 6, surcharge: 0.25 } as const;

/** Before this, nothing is known of the usual demand. */
const KNOWN_AFTER_SECONDS = 3600;

/** How much the rules for rough demand apply, 0 to 1. */
export function roughShare(roughness: number): number {
  const { from, full } = ROUGHNESS;
  return Math.min(1, Math.max(0, (roughness - from) / (full - from)));
}

type Watched = Pick<ModelEstimate, "roughness" | "averagedSeconds">;

/** How much the gain by the demand that lasts counts, 0 to 1. */
export function cautionOf({ roughness, averagedSeconds }: Watched): number {
  return roughShare(roughness) * (1 - unknownShare(averagedSeconds));
}

/** What is added to the gate, as a share of it. */
export function surchargeOf({ roughness, averagedSeconds }: Watched): number {
  return ROUGHNESS.surcharge * Math.max(0, roughness - ROUGHNESS.full) * unknownShare(averagedSeconds);
}

function unknownShare(averagedSeconds: number): number {
  return Math.min(1, KNOWN_AFTER_SECONDS / averagedSeconds);
}
