import type { Catalog } from "../catalog.ts";
import { ownValue } from "../own-value.ts";
import type { TickDemand } from "../placement/types.ts";
import type { DemandTotals } from "../pool/demand.ts";
import type { FleetView } from "./fleet-view.ts";
import type { PlacementMemory } from "./plan-record.ts";

/** A tick's demand, from how far the pools' totals have gone since the last one. A pool without a report has no word in it. */

const NO_DEMAND: DemandTotals = { arrivals: 0, good: 0, answered: 0, promptTokens: 0, completionTokens: 0 };

/** @param inDemand pools that have said so since the last tick. */
export function demandSince(
  { learnedAt, counted }: PlacementMemory,
  { reports }: FleetView,
  catalog: Catalog,
  inDemand: ReadonlySet<string>,
): TickDemand[] {
  return catalog.entries.flatMap(({ id }): TickDemand[] => {
    const totals = reports.get(id)?.demand;
    if (totals === undefined) return [];
    // Of a fleet that knows nothing yet, a pool's first totals are where counting begins, unless it has just said that they are news.
    const isNews = learnedAt !== null || inDemand.has(id);
    return [tickOf(id, ownValue(counted, id) ?? (isNews ? NO_DEMAND : totals), totals)];
  });
}

function tickOf(modelId: TickDemand["modelId"], before: DemandTotals, totals: DemandTotals): TickDemand {
  // A pool that has lost its last counts goes on from a lower number.
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
