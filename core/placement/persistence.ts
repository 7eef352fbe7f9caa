import type { LookBack, ModelEstimate } from "./types.ts";

/**
 * How much of a change in demand lasts. Every five minutes the planner looks back: how far was the fast average off the slow one
 * then, and how far off it was what came since? The regression of the second on the first is the share of a change to plan for:
 * near 1 where demand goes from level to level, near 0 where it comes in bursts that are over before a load is.
 */

/** About as long as a load takes and the machine then needs to pay for it. */
const LOOK_SECONDS = 300;

/** Share of one look in what is remembered: a look counts for some four hours. */
const LOOK_WEIGHT = 0.02;

/** How much the belief that all of a change lasts counts beside what was seen. */
const PRIOR_WEIGHT = 0.3;

export const FIRST_LOOK: LookBack = { fast: 0, slow: 0, seconds: 0, offered: 0, square: 0, product: 0 };

/** A look that begins now. */
export function restarted({ square, product }: LookBack, fast: number, slow: number): LookBack {
  return { fast, slow, seconds: 0, offered: 0, square, product };
}

/** After a tick of `seconds` with `offered` arrivals, which the averages `fast` and `slow` have taken in. */
export function lookedBack(
  before: ModelEstimate,
  offered: number,
  seconds: number,
  fast: number,
  slow: number,
): Pick<ModelEstimate, "persistence" | "look"> {
  const { persistence, look } = before;
  const now = { ...look, seconds: look.seconds + seconds, offered: look.offered + offered };
  // Ticks are never to the millisecond.
  if (now.seconds < LOOK_SECONDS - 1) return { persistence, look: now };
  const change = look.fast - look.slow;
  const lasted = now.offered / now.seconds - look.slow;
  const square = look.square + LOOK_WEIGHT * (change * change - look.square);
  const product = look.product + LOOK_WEIGHT * (change * lasted - look.product);
  return { persistence: shareOf(square, product), look: restarted({ ...look, square, product }, fast, slow) };
}

function shareOf(square: number, product: number): number {
  if (square === 0) return 1;
  return Math.min(1, Math.max(0, (product / square + PRIOR_WEIGHT) / (1 + PRIOR_WEIGHT)));
}
