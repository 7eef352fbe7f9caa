import type { ModelEstimate } from "./types.ts";

/**
 * What rough demand changes. Its bursts are over before a machine has earned its load, so it is not enough that a move pays for the
 * next minutes: it must pay by what will be left of the burst later, too. How much that is takes hours to learn. Until then the gate
 * is higher instead.
 */

/** From `from` on demand is rough, and at `full` it is nothing else; each point beyond that adds the surcharge to the gate. */
const ROUGHNESS = { from: 3, full: 6, surcharge: 0.25 } as const;

/** What is usual is not known at all before. */
const KNOWN_AFTER_SECONDS = 3600;

/** 0 for calm demand, 1 for rough one. */
export function roughShare(roughness: number): number {
  const { from, full } = ROUGHNESS;
  return Math.min(1, Math.max(0, (roughness - from) / (full - from)));
}

type Watched = Pick<ModelEstimate, "roughness" | "averagedSeconds">;

/** How much moves must pay by what lasts as well, 0 to 1. */
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
