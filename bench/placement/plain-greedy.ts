import type { PlacementInput, PlacementMachine } from "../../core/placement/types.ts";
import type { ModelId } from "../../protocol/ids.ts";

/**
 * What the planner's time is held against: targets by Little's law (requests in service over slots, and one machine more), floors
 * first, then by priority; while a model is below its target, the fastest machine that fits comes over from a model above its own.
 * Written plainly, as one would: each move looks at every machine.
 */

interface Pool {
  readonly modelId: ModelId;
  readonly priority: number;
  readonly target: number;
  held: number;
}

export function plainGreedy(input: PlacementInput, budget: number): { machineId: string; to: ModelId }[] {
  const held = new Map<ModelId, number>();
  for (const { model } of input.machines) if (model !== null) held.set(model, (held.get(model) ?? 0) + 1);
  const pools = input.models.map(({ modelId, floor, cap, priority }): Pool => {
    const target = Math.max(floor, Math.min(cap ?? Infinity, needOf(modelId, input)));
    return { modelId, priority, target, held: held.get(modelId) ?? 0 };
  });
  const byModel = new Map(pools.map((pool) => [pool.modelId, pool]));
  const moved = new Set<PlacementMachine>();
  const moves: { machineId: string; to: ModelId }[] = [];
  for (const pool of pools.toSorted((a, b) => b.priority - a.priority)) {
    while (pool.held < pool.target && moves.length < budget) {
      let best: PlacementMachine | null = null;
      let bestTps = 0;
      for (const machine of input.machines) {
        const donor = machine.model === null ? undefined : byModel.get(machine.model);
        const tps = machine.fits[pool.modelId]?.decodeTps ?? 0;
        if (tps <= bestTps || moved.has(machine) || machine.state !== "serving") continue;
        if (donor !== undefined && donor.held <= donor.target) continue;
        [best, bestTps] = [machine, tps];
      }
      if (best === null) break;
      const donor = best.model === null ? undefined : byModel.get(best.model);
      if (donor !== undefined) donor.held -= 1;
      pool.held += 1;
      moved.add(best);
      moves.push({ machineId: best.machineId, to: pool.modelId });
    }
  }
  return moves;
}

function needOf(modelId: ModelId, { machines, demand, elapsedSeconds }: PlacementInput): number {
  const tick = demand.find((one) => one.modelId === modelId);
  const fits = machines.flatMap((machine) => machine.fits[modelId] ?? []);
  if (tick === undefined || tick.offered === 0 || fits.length === 0) return 0;
  const mean = (of: (fit: (typeof fits)[number]) => number): number =>
    fits.reduce((sum, fit) => sum + of(fit), 0) / fits.length;
  const seconds =
    (tick.promptTokensMean ?? 0) / mean((fit) => fit.prefillTps) +
    (tick.outputTokensMean ?? 0) / mean((fit) => fit.decodeTps);
  return Math.ceil(((tick.offered / elapsedSeconds) * seconds) / mean((fit) => fit.slots)) + 1;
}
