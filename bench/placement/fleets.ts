import type { Fitness, PlacementInput } from "../../core/placement/types.ts";
import { modelIdSchema, type ModelId } from "../../protocol/ids.ts";

/** Fleets to time a plan with: machines of eight kinds, or each with a speed of its own. The same every time. */

export const KINDS = 8;

/** Deterministic, evenly spread over 0 to 1. */
const spread = (seed: number): number => (seed * 0.618_033_988_75) % 1;

function fitsOf(kind: number, speed: number, ids: readonly ModelId[]): Record<ModelId, Fitness> {
  const fitting = ids.filter((_, at) => at % KINDS <= kind);
  return Object.fromEntries(
    fitting.map((id, at) => [
      id,
      {
        slots: 1 + (kind % 6),
        decodeTps: (18 + kind * 3 + (at % 5)) * speed,
        prefillTps: 900,
        loadSeconds: 40,
        onDisk: true,
      },
    ]),
  );
}

/** Half of the models are short of machines. */
export function aFleet(count: number, models: number, isEachOwn: boolean): PlacementInput {
  const ids = Array.from({ length: models }, (_, at) => modelIdSchema.parse(`acme/model-${at}`));
  const kinds = Array.from({ length: KINDS }, (_, kind) => fitsOf(kind, 1, ids));
  const machines = Array.from({ length: count }, (_, at) => {
    const kind = at % KINDS;
    const shared = kinds[kind] ?? {};
    const fitting = Object.keys(shared);
    return {
      machineId: `machine-${String(at).padStart(6, "0")}`,
      model: modelIdSchema.parse(fitting[Math.floor(spread(at) * fitting.length)]),
      state: "serving" as const,
      loadDeadlineAt: null,
      assignedAt: 0,
      isPinned: false,
      isManageable: true,
      fits: isEachOwn ? fitsOf(kind, 0.9 + 0.2 * spread(at), ids) : shared,
      cooldownUntil: {},
      inFlight: at % 3,
      wentAt: null,
    };
  });
  const demand = ids.map((modelId, at) => ({
    modelId,
    offered: Math.round((30 * count * spread(at + 1)) / models / 2),
    good: 0,
    promptTokensMean: 900,
    outputTokensMean: 200,
  }));
  return {
    now: 10_000_000,
    elapsedSeconds: 30,
    models: ids.map((modelId) => ({ modelId, floor: 0, cap: null, priority: 1 })),
    machines,
    demand,
  };
}
