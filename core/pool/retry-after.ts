/**
 * `Retry-After` for refused clients (D10): not before they can be served, as far as that is known, and with jitter. The larger
 * the share of refused requests, the wider the jitter, because all refused clients return and the pool can take only so many.
 */

/** Longest wait before jitter: official SDKs ignore more than 60 s, and the rest is for the jitter. */
const LONGEST_WAIT_S = 40;
const LONGEST_S = 60;

const LEAST_SPREAD_S = 2;
const MAX_SHARE = 0.9;

/**
 * @param waitS until a machine or a slot can be had, as far as is known.
 * @param leastS what the reason demands, whatever is known.
 * @param refusedShare of the requests of late, from 0 to 1.
 * @param chance from 0 up to, but not including, 1.
 * @returns seconds from 1 to 60, with a fraction.
 */
export function retryAfterS(waitS: number, leastS: number, refusedShare: number, chance: number): number {
  const fromS = Math.min(LONGEST_WAIT_S, Math.max(1, leastS, waitS));
  const spreadS = Math.max(LEAST_SPREAD_S, fromS / 2) / (1 - Math.min(MAX_SHARE, refusedShare));
  return fromS + chance * Math.min(spreadS, LONGEST_S - fromS);
}
