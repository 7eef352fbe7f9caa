import type { ModelId } from "../../protocol/ids.ts";
import { ownValue } from "../own-value.ts";
import { requestSeconds } from "../placement/kinds.ts";
import type { Fitness, ModelEstimate, PlacementMachine } from "../placement/types.ts";
import type { PoolReport } from "../pool/report.ts";

/**
 * What the pools' slots say of the speeds that the planner goes by. Answers of a few tokens are too short to measure a speed by,
 * and then a guess from the hardware stands; a machine may also be slower than the time it counts. A pool whose slots are all
 * taken would seem to have room to spare, and get no machine however many requests it turned away. So where requests hold their
 * slots for longer than they should, all machines count as slower for that model, by as much.
 */

/** Differences up to this share are the noise of means. */
const NOISE = 1.25;

/** @param estimates what is known of each model's requests. */
export function atObservedPace(
  machines: readonly PlacementMachine[],
  reports: ReadonlyMap<string, PoolReport>,
  estimates: Readonly<Record<string, ModelEstimate>>,
): PlacementMachine[] {
  const paces = new Map<ModelId, number>();
  for (const [pool, { holdMs }] of reports) {
    const estimate = ownValue<string, ModelEstimate>(estimates, pool);
    const serving = machines.filter(
      ({ model, state }) => model === pool && (state === "serving" || state === "unmanaged"),
    );
    if (estimate === undefined || holdMs === null) continue;
    const expected = serving.flatMap(({ model, fits }) => {
      const fit = model === null ? undefined : ownValue<string, Fitness>(fits, model);
      return model === null || fit === undefined ? [] : [{ model, seconds: requestSeconds(fit, estimate) }];
    });
    const [first] = expected;
    if (first === undefined) continue;
    const mean = expected.reduce((sum, { seconds }) => sum + seconds, 0) / expected.length;
    const pace = (1000 * mean) / holdMs;
    if (pace * NOISE < 1) paces.set(first.model, pace);
  }
  if (paces.size === 0) return [...machines];
  return machines.map((machine) => ({ ...machine, fits: slowed(machine.fits, paces) }));
}

function slowed(
  fits: PlacementMachine["fits"],
  paces: ReadonlyMap<ModelId, number>,
): Record<ModelId, Fitness> {
  const changed: Record<ModelId, Fitness> = { ...fits };
  for (const [model, pace] of paces) {
    const fit = changed[model];
    if (fit === undefined) continue;
    changed[model] = { ...fit, decodeTps: pace * fit.decodeTps, prefillTps: pace * fit.prefillTps };
  }
  return changed;
}
