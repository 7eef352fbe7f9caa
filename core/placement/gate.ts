import type { Kind } from "./kinds.ts";
import type { Pool } from "./pools.ts";
import type { Fitness, PlacementConfig, PlacementMachine } from "./types.ts";

/**
 * The gate: the gain that a move must exceed, in requests/s, so that noise does not send machines back and forth. It is a share
 * of the stake, which is the best capacity of the machine; the share grows with the time of the load, because a move may turn
 * out useless and then costs another load.
 */

/** Stake of an unmanaged machine as a share of its best capacity: nobody has placed it, so a move undoes no placement. */
const UNMANAGED_STAKE = 0.5;

/**
 * Added to the stake of a machine that has just moved, as a share of the smaller of its present and its new capacity. Without
 * it the machines that serve most would make every move, and go back and forth.
 */
const RECENCY_SURCHARGE = 0.3;

/** Largest part of the share that is due to the load: more would prevent moves that pay. */
const LOAD_SHARE_MOST = 0.14;

/**
 * Largest gate, as a share of what the machine can serve in the target. A large model is served slowly: by a gate that only
 * depends on the machine's fastest model, no move to its pool would ever pay.
 */
const GATE_MOST = 0.3;

/** A machine that holds nothing loses nothing: any gain will do. */
const GATE_OF_EMPTY = 1e-6;

/** Weights that have to be downloaded first raise the gate by this share. */
const DOWNLOAD_SURCHARGE = 0.25;

/** What the gate has to know of machines that may move. */
export interface Leaver {
  readonly pool: Pool | null;
  /** Requests/s of one of them in its pool. */
  readonly serves: number;
  /** The stake of one of them, requests/s. */
  readonly stake: number;
}

/** A machine's stake, requests/s. */
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

/** The gate of a move without a load: a lower bound of any gate. */
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
