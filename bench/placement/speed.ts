/* How long one plan takes: `node bench/placement/speed.ts`. Machines come in 8 kinds, and then each with a speed of its own. */
import { DEFAULT_PLACEMENT_CONFIG, EMPTY_PLACEMENT_STATE } from "../../core/placement/config.ts";
import { plan } from "../../core/placement/plan.ts";
import type { Fitness, PlacementInput } from "../../core/placement/types.ts";
import { modelIdSchema, type ModelId } from "../../protocol/ids.ts";

const MOVES = 16;
const ROUNDS = 15;
const KINDS = 8;

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

function anInput(count: number, models: number, isEachOwn: boolean): PlacementInput {
  const ids = Array.from({ length: models }, (_, at) => modelIdSchema.parse(`acme/model-${at}`));
  const kinds = Array.from({ length: KINDS }, (_, kind) => fitsOf(kind, 1, ids));
  const machines = Array.from({ length: count }, (_, at) => {
    const kind = at % KINDS;
    const shared = kinds[kind] ?? {};
    return {
      machineId: `machine-${String(at).padStart(6, "0")}`,
      model:
        Object.keys(shared).map((id) => modelIdSchema.parse(id))[
          Math.floor(spread(at) * Object.keys(shared).length)
        ] ?? null,
      state: "serving" as const,
      loadDeadlineAt: null,
      assignedAt: 0,
      isPinned: false,
      isManageable: true,
      fits: isEachOwn ? fitsOf(kind, 0.9 + 0.2 * spread(at), ids) : shared,
      cooldownUntil: {},
      inFlight: at % 3,
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

const config = { ...DEFAULT_PLACEMENT_CONFIG, maxLoadsPerTick: MOVES, maxPendingLoads: MOVES };
for (const [machines, models] of [
  [1000, 10],
  [10_000, 50],
] as const) {
  for (const isEachOwn of [false, true]) {
    const input = anInput(machines, models, isEachOwn);
    const times = Array.from({ length: ROUNDS }, () => {
      const start = performance.now();
      const { moves } = plan(EMPTY_PLACEMENT_STATE, input, config);
      return { took: performance.now() - start, moves: moves.length };
    }).toSorted((a, b) => a.took - b.took);
    const kinds = isEachOwn ? machines : KINDS;
    const median = times[ROUNDS >> 1]?.took.toFixed(1);
    const most = times.at(-1)?.took.toFixed(1);
    process.stdout.write(
      `${machines} machines of ${kinds} kinds, ${models} models, ${times[0]?.moves} moves: median ${median} ms, most ${most} ms\n`,
    );
  }
}
