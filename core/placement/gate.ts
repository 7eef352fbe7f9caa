import type { Kind } from "./kinds.ts";
import type { Pool } from "./pools.ts";
import type { Fitness, PlacementConfig, PlacementMachine } from "./types.ts";

/**
 * The gate: what a move must gain, in requests/s. Without one, noise would send machines back and forth. It is a share of what is
 * at stake: the share is that of a load which may be for nothing, and at stake is what the machine could serve at its best.
 */

/** Share of its best capacity that an unmanaged machine stakes: it was placed by nobody, so no placement is undone. */
const UNMANAGED_STAKE = 0.5;

/**
 * What a move that was just made adds to the stake of the next, as a share of the smaller of what the machine serves now and would
 * serve. Else the few that serve most pay first for every change, and go back and forth.
 */
const RECENCY_SURCHARGE = 0.3;

/** What a load adds to the share at most: more would hold back what pays. */
const LOAD_SHARE_MOST = 0.14;

/**
 * The gate is at most this share of what the machine can serve in the target. A large model is served slowly: measured by the
 * fastest model of the machine alone, no move to its pool would ever pay.
 */
const GATE_MOST = 0.3;

/** A machine that holds nothing loses nothing: any gain will do. */
const GATE_OF_EMPTY = 1e-6;

/** Weights that have to be downloaded first raise the gate by this share. */
const DOWNLOAD_SURCHARGE = 0.25;

/** Machines that may leave, as far as the gate is concerned. */
export interface Leaver {
  readonly pool: Pool | null;
  /** Requests/s of one of them in its pool. */
  readonly serves: number;
  /** What one of them stakes with any move, requests/s. */
  readonly stake: number;
}

/** What a machine stakes with any move, requests/s. */
export function stakeOf({ best }: Kind, { state }: PlacementMachine): number {
  return best * (state === "unmanaged" ? UNMANAGED_STAKE : 1);
}

/**
 * The gate of sending a machine to a pool.
 *
 * @param own what it could serve there, requests/s.
 * @param recency of its last move.
 */
export function gateOf(
  leaver: Leaver,
  to: Pool,
  own: number,
  recency: number,
  fit: Fitness,
  config: PlacementConfig,
): number {
  const surcharge = Math.max(to.surcharge, leaver.pool?.surcharge ?? 0);
  const share = shareOf(fit.loadSeconds, config) * (1 + surcharge);
  const gate = Math.min(share * atStake(leaver, own, recency), gateMost(leaver, own));
  return leaver.pool === null || fit.onDisk ? gate : gate * (1 + DOWNLOAD_SURCHARGE);
}

/** As the gate, had nothing to be loaded: no gate is lower. */
export function gateLeast(leaver: Leaver, own: number, recency: number, config: PlacementConfig): number {
  return Math.min(config.kappa * atStake(leaver, own, recency), gateMost(leaver, own));
}

/** Never below `kappa`. */
function shareOf(loadSeconds: number, { kappa, reloadRisk, horizonSeconds }: PlacementConfig): number {
  return kappa + Math.min(LOAD_SHARE_MOST, (reloadRisk * loadSeconds) / horizonSeconds);
}

function atStake({ stake, serves }: Leaver, own: number, recency: number): number {
  return stake + RECENCY_SURCHARGE * recency * Math.min(own, serves);
}

function gateMost({ pool }: Leaver, own: number): number {
  return pool === null ? GATE_OF_EMPTY : GATE_MOST * own;
}
