import type { Catalog } from "../catalog.ts";
import { ownValue } from "../own-value.ts";
import type { TickDemand } from "../placement/types.ts";
import type { DemandTotals } from "../pool/demand.ts";
import type { FleetView } from "./fleet-view.ts";
import type { PlacementMemory } from "./plan-record.ts";

/** The demand of a tick: the growth of the pools' totals since the last one. Pools without a report are left out. */

const NO_DEMAND: DemandTotals = { arrivals: 0, good: 0, answered: 0, promptTokens: 0, completionTokens: 0 };

/** @param inDemand pools that have reported demand since the last tick. */
export function demandSince(
  { learnedAt, counted }: PlacementMemory,
  { reports }: FleetView,
  catalog: Catalog,
  inDemand: ReadonlySet<string>,
): TickDemand[] {
  return catalog.entries.flatMap(({ id }): TickDemand[] => {
    const totals = reports.get(id)?.demand;
    if (totals === undefined) return [];
    // The first totals of a pool are only a starting point, unless the pool has just reported demand.
    const isNews = learnedAt !== null || inDemand.has(id);
    return [tickOf(id, ownValue(counted, id) ?? (isNews ? NO_DEMAND : totals), totals)];
  });
}

function tickOf(modelId: TickDemand["modelId"], before: DemandTotals, totals: DemandTotals): TickDemand {
  // After a reset, a pool may continue from lower totals.
  const since = (of: (counts: DemandTotals) => number): number => Math.max(0, of(totals) - of(before));
  const answered = since((counts) => counts.answered);
  const mean = (tokens: number): number | null => (answered === 0 ? null : tokens / answered);
  return {
    modelId,
    offered: since((counts) => counts.arrivals),
    good: since((counts) => counts.good),
    promptTokensMean: mean(since((counts) => counts.promptTokens)),
    outputTokensMean: mean(since((counts) => counts.completionTokens)),
  };
}
