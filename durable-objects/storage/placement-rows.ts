import { z } from "zod";

import type { Halt, LastPlan, PlacementMemory, PlacementMode } from "../../core/fleet/plan-record.ts";
import { NO_OUTLOOK } from "../../core/placement/persistence.ts";
import type { ScoredMode } from "../../core/placement/score.ts";
import type { MoveReason, Outlook, StayReason } from "../../core/placement/types.ts";
import { modelIdSchema } from "../../protocol/ids.ts";

/** The JSON that placement keeps in SQLite. */

/** Every word of a type: one that is left out would be written and not read again, and with it all that was learned. */
type Words<T extends string> = { readonly [Word in T]: Word };

const moveReasonSchema = z.enum({
  floor: "floor",
  first_machine: "first_machine",
  demand_gain: "demand_gain",
  placed_empty: "placed_empty",
  adopted: "adopted",
} satisfies Words<MoveReason>);

const stayReasonSchema = z.enum({
  offline: "offline",
  cordoned: "cordoned",
  moving: "moving",
  unmanageable: "unmanageable",
  not_routable: "not_routable",
  pinned: "pinned",
  dwell: "dwell",
  cooldown: "cooldown",
  nothing_fits: "nothing_fits",
  last_of_pool: "last_of_pool",
  pool_at_floor: "pool_at_floor",
  no_gain: "no_gain",
  budget: "budget",
  frozen: "frozen",
  no_demand_seen: "no_demand_seen",
} satisfies Words<StayReason>);

const haltSchema = z.enum({
  frozen: "frozen",
  no_demand_seen: "no_demand_seen",
  stale_reports: "stale_reports",
  reconnecting: "reconnecting",
} satisfies Words<Halt>);

const modeSchema = z.enum({
  off: "off",
  shadow: "shadow",
  enforce: "enforce",
} satisfies Words<PlacementMode>);

const moveSchema = z.object({
  machineId: z.string(),
  from: modelIdSchema.nullable(),
  to: modelIdSchema,
  reason: moveReasonSchema,
  won: z.number(),
  lost: z.number(),
  gate: z.number(),
  epoch: z.number().nullable(),
});

const modelPlanSchema = z.object({
  modelId: modelIdSchema,
  demand: z.number(),
  deviation: z.number(),
  capacity: z.number(),
  demandMachines: z.number(),
  desired: z.number(),
  serving: z.number(),
  loading: z.number(),
});

export const planSchema = z.object({
  at: z.number(),
  mode: modeSchema,
  halted: haltSchema.nullable(),
  models: z.array(modelPlanSchema),
  moves: z.array(moveSchema),
  stays: z.partialRecord(stayReasonSchema, z.number()),
});

const lastPlanSchema = planSchema.extend({
  demand: z.array(
    z.object({
      modelId: modelIdSchema,
      offered: z.number(),
      good: z.number(),
      promptTokensMean: z.number().nullable(),
      outputTokensMean: z.number().nullable(),
    }),
  ),
  elapsedSeconds: z.number(),
  budget: z.number(),
  machines: z.array(
    z.object({
      machineId: z.string(),
      reason: stayReasonSchema,
      bestTarget: modelIdSchema.nullable(),
      bestGain: z.number().nullable(),
    }),
  ),
  /** Earlier versions kept none. */
  supply: z
    .array(z.object({ modelId: modelIdSchema, capacity: z.number(), machines: z.number() }))
    .default([]),
}) satisfies z.ZodType<LastPlan>;

const differencesSchema = z.object({
  fast: z.number(),
  slow: z.number(),
  fastUsual: z.number(),
  slowUsual: z.number(),
  fastFast: z.number(),
  fastSlow: z.number(),
  slowSlow: z.number(),
});

const momentsSchema = z.object({
  fastFast: z.number(),
  fastSlow: z.number(),
  slowSlow: z.number(),
  fastCame: z.number(),
  slowCame: z.number(),
});

const outlookSchema = z.object({
  persistence: z.object({ ofFast: z.number(), ofSlow: z.number() }),
  hindsight: z.object({ lately: differencesSchema, moments: momentsSchema }),
}) satisfies z.ZodType<Outlook>;

const estimateSchema = outlookSchema.extend({
  fast: z.number().nullable(),
  slow: z.number(),
  usual: z.number(),
  averagedSeconds: z.number(),
  dispersion: z.number(),
  surprises: z.number(),
  surpriseRate: z.number(),
  surpriseExpected: z.number(),
  roughness: z.number(),
  recent: z.tuple([z.number(), z.number()]),
  promptTokens: z.number(),
  outputTokens: z.number(),
  missShare: z.number(),
  ticks: z.number(),
  /** Earlier versions had none: all else that they have learned still holds. */
  later: outlookSchema.default(NO_OUTLOOK),
});

const totalsSchema = z.object({
  arrivals: z.number(),
  good: z.number(),
  answered: z.number(),
  promptTokens: z.number(),
  completionTokens: z.number(),
});

export const memorySchema = z.object({
  learnedAt: z.number().nullable(),
  state: z.object({
    estimates: z.record(modelIdSchema, estimateSchema),
    online: z.array(z.object({ at: z.number(), count: z.number() })),
    frozenUntil: z.number(),
  }),
  counted: z.record(modelIdSchema, totalsSchema),
  last: lastPlanSchema.nullable(),
}) satisfies z.ZodType<PlacementMemory>;

const scoredModeSchema = z.enum({ shadow: "shadow", enforce: "enforce" } satisfies Words<ScoredMode>);

export const scoreSchema = z.object({
  mode: scoredModeSchema.nullable(),
  /** Ids and times by model: its row must stay below the platform's 2 MB, also if all machines of a large fleet are elsewhere. */
  elsewhere: z.record(modelIdSchema, z.array(z.tuple([z.string(), z.number()]))),
  days: z.array(
    z.object({
      dayAt: z.number(),
      mode: scoredModeSchema,
      machineSeconds: z.number(),
      offered: z.number(),
      good: z.number(),
      asPlaced: z.number(),
      otherwise: z.number(),
      /** Earlier versions had none. */
      atMost: z.number().optional(),
      switches: z.number(),
    }),
  ),
  /** Earlier versions had none. */
  trial: z
    .object({ mode: scoredModeSchema, since: z.number(), countsFrom: z.number() })
    .nullable()
    .default(null),
});

export type KeptScore = z.infer<typeof scoreSchema>;
