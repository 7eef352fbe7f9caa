import type { ModelId } from "../../protocol/ids.ts";
import { ownValue } from "../own-value.ts";
import type { Pool } from "./pools.ts";
import type { ChanceSeen, TickDemand } from "./types.ts";
import { expectedServed } from "./value.ts";

/**
 * How much of its room a pool loses to chance within a tick. Requests that come at random do not fill machines evenly: some find
 * none free while others stand idle. How many are lost so depends on how long they may wait and how alike they are, and is
 * learned: what was asked for and not served in time, less what there was no room for, is held against what would have been lost
 * if the number of requests in service varied like their mean, and nobody could wait.
 */

/** Variance of the requests in service, as a share of that guess, at least and at most. */
const SHARE = { least: 0.2, most: 2.5 } as const;

/** How long a tick counts. */
const MEMORY_SECONDS = 30_000;

/** For so long a tick counts at most. */
const TICK_COUNTS_SECONDS = 300;

/** So many of all requests count as lost as guessed: always, and beside that before anything was seen, as if for the whole memory. */
const PRIOR = { always: 0.002, atFirst: 0.02 } as const;

export const NO_CHANCE_SEEN: ChanceSeen = { known: 0, offered: 0, lost: 0, guessed: 0, room: {} };

/** Variance of the requests in service, as a share of what is guessed of it. */
export function chanceShare({ known, offered, lost, guessed }: ChanceSeen): number {
  if (known === 0) return 1;
  const prior = offered * (PRIOR.always + PRIOR.atFirst * (1 / known - 1));
  // What is lost goes by the standard deviation.
  const ratio = Math.max(0, lost + prior) / (guessed + prior);
  return Math.min(SHARE.most, Math.max(SHARE.least, ratio * ratio));
}

/**
 * After one more tick of `seconds`.
 *
 * @param pools as the tick ends, before any move.
 */
export function chanceAfter(
  last: ChanceSeen,
  pools: readonly Pool[],
  demand: readonly TickDemand[],
  seconds: number,
): ChanceSeen {
  const counted = new Map(demand.map((tick) => [tick.modelId, tick]));
  const sum = { offered: 0, lost: 0, guessed: 0 };
  const room: Record<ModelId, number> = {};
  for (const pool of pools) {
    const { modelId } = pool.model;
    room[modelId] = pool.ready;
    const tick = counted.get(modelId);
    // Who came or left within the tick did not serve all of it.
    const throughout = Math.min(ownValue(last.room, modelId) ?? 0, pool.ready);
    if (tick === undefined || throughout === 0) continue;
    const rate = tick.offered / seconds;
    const served = Math.min(rate, throughout);
    const deviation = Math.sqrt(rate * pool.variance.byChance + 1e-9);
    // Bursts within the tick lose requests as well, and of those it says nothing.
    sum.offered += pool.calm * rate;
    sum.lost += pool.calm * (served - tick.good / seconds);
    sum.guessed += pool.calm * (served - expectedServed(rate, deviation, throughout));
  }
  if (sum.offered === 0) return { ...last, room };
  const weight = 1 - Math.exp(-Math.min(seconds, TICK_COUNTS_SECONDS) / MEMORY_SECONDS);
  const averaged = (before: number, next: number): number => before + weight * (next - before);
  return {
    known: averaged(last.known, 1),
    offered: averaged(last.offered, sum.offered),
    lost: averaged(last.lost, sum.lost),
    guessed: averaged(last.guessed, sum.guessed),
    room,
  };
}
