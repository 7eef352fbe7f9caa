import { DEFAULT_PLACEMENT_CONFIG, EMPTY_PLACEMENT_STATE } from "../../../core/placement/config.ts";
import { plan } from "../../../core/placement/plan.ts";
import type {
  Fitness,
  PlacementConfig,
  PlacementMachine,
  PlacementState,
} from "../../../core/placement/types.ts";
import { type ModelId, modelIdSchema } from "../../../protocol/ids.ts";
import type { MachineView, Move, PolicyMaker, Setting, View } from "../policy.ts";

/**
 * The coordinator's own planner, asked once a minute. It thinks in requests and tokens: a machine unit becomes 4 slots
 * at 60 tokens/s, and a request as many tokens as make that machine serve `machine_requests_per_minute`. A minute
 * stands for two of its ticks, so the loads per tick are doubled; everything else is its default.
 */
const SLOTS = 4;
const TOKENS_PER_SECOND = 60;

export const ours: PolicyMaker = (setting) => {
  const config: PlacementConfig = {
    ...DEFAULT_PLACEMENT_CONFIG,
    tickSeconds: 60,
    maxLoadsPerTick: 2 * DEFAULT_PLACEMENT_CONFIG.maxLoadsPerTick,
  };
  // A trace may name its models as it likes; the planner gets names of its own kind.
  const ids = setting.models.map((_, model) =>
    modelIdSchema.parse(`model-${String(model).padStart(4, "0")}`),
  );
  const fits = setting.machines.map(({ speeds }) => fitsOf(speeds, ids, setting));
  const outputTokensMean = (SLOTS * TOKENS_PER_SECOND * 60) / setting.requestsPerMinute;
  let state: PlacementState = EMPTY_PLACEMENT_STATE;
  let serving: number[] | undefined;
  return {
    decide: (view) => {
      const demand = view.observed.map((units, model) => ({
        modelId: idOf(ids, model),
        offered: units * setting.requestsPerMinute,
        good: Math.min(units, serving?.[model] ?? units) * setting.requestsPerMinute,
        promptTokensMean: 0,
        outputTokensMean,
      }));
      const answer = plan(
        state,
        {
          now: view.minute * 60_000,
          elapsedSeconds: 60,
          demand,
          models: setting.models.map(({ floor, cap, priority }, model) => ({
            modelId: idOf(ids, model),
            floor,
            cap,
            priority,
          })),
          machines: view.machines.map((machine, index) => machineOf(machine, index, ids, fits, setting)),
        },
        config,
      );
      state = answer.state;
      const moves = answer.moves.map(({ machineId, to }) => ({
        machine: Number(machineId.slice(1)),
        model: ids.indexOf(to),
      }));
      serving = servingAfter(view, moves, setting);
      return moves;
    },
  };
};

function idOf(ids: readonly ModelId[], model: number): ModelId {
  const id = ids[model];
  if (id === undefined) throw new Error(`there is no model ${model}`);
  return id;
}

function fitsOf(
  speeds: readonly number[],
  ids: readonly ModelId[],
  setting: Setting,
): Readonly<Record<ModelId, Fitness>> {
  const entries = speeds.flatMap((speed, model): [ModelId, Fitness][] => {
    if (speed === 0) return [];
    const fitness = {
      slots: SLOTS,
      decodeTps: TOKENS_PER_SECOND * speed,
      prefillTps: 10 * TOKENS_PER_SECOND * speed,
      loadSeconds: Math.max(1, setting.switchMinutes * 60 - DEFAULT_PLACEMENT_CONFIG.drainSeconds),
      onDisk: true,
    };
    return [[idOf(ids, model), fitness]];
  });
  return Object.fromEntries(entries);
}

const STATES = { ready: "serving", switching: "loading", empty: "empty", away: "offline" } as const;

function machineOf(
  { state, model, since }: MachineView,
  index: number,
  ids: readonly ModelId[],
  fits: readonly Readonly<Record<ModelId, Fitness>>[],
  { switchMinutes }: Setting,
): PlacementMachine {
  return {
    machineId: `m${String(index).padStart(5, "0")}`,
    model: model === null ? null : idOf(ids, model),
    state: STATES[state],
    loadDeadlineAt: state === "switching" ? (since + switchMinutes + 1) * 60_000 : null,
    assignedAt: since * 60_000,
    isPinned: false,
    isManageable: true,
    fits: fits[index] ?? {},
    cooldownUntil: {},
    inFlight: 0,
  };
}

/** Machine units that serve in this minute, once the moves are under way. */
function servingAfter(view: View, moves: readonly Move[], setting: Setting): number[] {
  const moved = new Set(moves.map((move) => move.machine));
  const serving = setting.models.map(() => 0);
  for (const [index, { state, model }] of view.machines.entries()) {
    if (state !== "ready" || model === null || moved.has(index)) continue;
    serving[model] = (serving[model] ?? 0) + (setting.machines[index]?.speeds[model] ?? 0);
  }
  return serving;
}
