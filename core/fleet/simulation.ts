import { z } from "zod";

import { modelIdSchema } from "../../protocol/ids.ts";
import type { Flags } from "../flags.ts";
import { ownValue } from "../own-value.ts";
import { UNSEEN } from "../placement/demand.ts";
import type { ModelEstimate, PlacementInput } from "../placement/types.ts";

/** The request of `POST /v1/admin/placement/simulate`: what would be planned under other circumstances. */

const positive = z.number().positive().max(1e9);

/** What `POST /v1/admin/placement/simulate` may change; all of it optional, and nothing of it lasts. */
export const simulationSchema = z.strictObject({
  /** Demand instead of what was measured. */
  demand: z
    .record(
      modelIdSchema,
      z.strictObject({
        requests_per_second: z.number().min(0).max(1e9),
        prompt_tokens: positive.optional(),
        output_tokens: positive.optional(),
        /** Variance of the counts by their mean; 1 for independent arrivals. */
        dispersion: positive.optional(),
      }),
    )
    .default({}),
  models: z
    .record(
      modelIdSchema,
      z.strictObject({
        floor: z.int().min(0).optional(),
        cap: z.int().min(0).nullable().optional(),
        priority: z.number().min(0).max(1000).optional(),
      }),
    )
    .default({}),
  machines: z.record(z.string(), z.strictObject({ offline: z.boolean() })).default({}),
  max_loads_per_tick: z.int().min(0).optional(),
  max_pending_loads: z.int().min(0).optional(),
  min_dwell_seconds: z.int().min(0).optional(),
});

export type Simulation = z.infer<typeof simulationSchema>;

export function simulatedFlags(flags: Flags, asked: Simulation): Flags {
  const { max_loads_per_tick, max_pending_loads, min_dwell_seconds } = asked;
  return {
    ...flags,
    max_loads_per_tick: max_loads_per_tick ?? flags.max_loads_per_tick,
    max_pending_loads: max_pending_loads ?? flags.max_pending_loads,
    min_dwell_seconds: min_dwell_seconds ?? flags.min_dwell_seconds,
  };
}

/** Demand that is given replaces the estimate, so counts of those models are left out. */
export function simulatedInput(input: PlacementInput, asked: Simulation): PlacementInput {
  return {
    ...input,
    models: input.models.map((model) => {
      const change = ownValue(asked.models, model.modelId);
      const { floor = model.floor, cap = model.cap, priority = model.priority } = change ?? {};
      return { ...model, floor, cap, priority };
    }),
    machines: input.machines.map((machine) =>
      ownValue(asked.machines, machine.machineId)?.offline === true
        ? { ...machine, model: null, state: "offline" as const, loadDeadlineAt: null }
        : machine,
    ),
    demand: input.demand.filter(({ modelId }) => !Object.hasOwn(asked.demand, modelId)),
  };
}

export function simulatedEstimates(
  estimates: Readonly<Record<string, ModelEstimate>>,
  { demand }: Simulation,
): Record<string, ModelEstimate> {
  const changed: Record<string, ModelEstimate> = { ...estimates };
  for (const [model, given] of Object.entries(demand)) {
    const known = ownValue(estimates, model);
    changed[model] = {
      ...UNSEEN,
      ...known,
      fast: given.requests_per_second,
      slow: given.requests_per_second,
      usual: given.requests_per_second,
      dispersion: given.dispersion ?? known?.dispersion ?? 1,
      promptTokens: given.prompt_tokens ?? known?.promptTokens ?? UNSEEN.promptTokens,
      outputTokens: given.output_tokens ?? known?.outputTokens ?? UNSEEN.outputTokens,
    };
  }
  return changed;
}
