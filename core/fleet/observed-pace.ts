import { ownValue } from "../own-value.ts";
import { requestSeconds } from "../placement/kinds.ts";
import type { Fitness, ModelEstimate, PlacementMachine } from "../placement/types.ts";
import type { PoolReport } from "../pool/report.ts";

/**
 * Corrects the speeds that the planner uses by how long requests actually hold their slots. Speeds may be wrong: answers of
 * a few tokens are too short to measure, so an estimate from the hardware is used, and a machine may be slower than its own
 * timings say. A pool with all slots taken would then seem to have capacity left, and get no machine however many requests it
 * refused. So if requests hold their slots for longer than expected, all machines count as slower for that model, by the same
 * factor.
 */

/** Differences up to this share are the noise of means. */
const NOISE = 1.25;

const SERVING: ReadonlySet<PlacementMachine["state"]> = new Set(["serving", "unmanaged"]);

/** @param estimates what is known of each model's requests. */
export function atObservedPace(
  machines: readonly PlacementMachine[],
  reports: ReadonlyMap<string, PoolReport>,
  estimates: Readonly<Record<string, ModelEstimate>>,
): PlacementMachine[] {
  const paces = new Map<string, number>();
  for (const { model, holdMs } of reports.values()) {
    const expectedMs = meanRequestMs(machines, model, ownValue<string, ModelEstimate>(estimates, model));
    if (expectedMs === null || holdMs === null) continue;
    const pace = expectedMs / holdMs;
    if (pace * NOISE < 1) paces.set(model, pace);
  }
  if (paces.size === 0) return [...machines];
  return machines.map((machine) => ({ ...machine, fits: slowed(machine.fits, paces) }));
}

/** What a request for the model should take on the machines that serve it; null if none does, or nothing is known of requests. */
function meanRequestMs(
  machines: readonly PlacementMachine[],
  model: string,
  estimate: ModelEstimate | undefined,
): number | null {
  if (estimate === undefined) return null;
  const seconds = machines.flatMap((machine) => {
    const isServing = machine.model === model && SERVING.has(machine.state);
    const fit = isServing ? ownValue<string, Fitness>(machine.fits, model) : undefined;
    return fit === undefined ? [] : [requestSeconds(fit, estimate)];
  });
  if (seconds.length === 0) return null;
  return (1000 * seconds.reduce((sum, one) => sum + one, 0)) / seconds.length;
}

function slowed(fits: PlacementMachine["fits"], paces: ReadonlyMap<string, number>): Record<string, Fitness> {
  const changed: Record<string, Fitness> = { ...fits };
  for (const [model, pace] of paces) {
    const fit = ownValue(changed, model);
    if (fit === undefined) continue;
    changed[model] = { ...fit, decodeTps: pace * fit.decodeTps, prefillTps: pace * fit.prefillTps };
  }
  return changed;
}
