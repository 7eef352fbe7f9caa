import { z } from "zod";

import type {
  Halt,
  LastPlan,
  LoadTime,
  PlacementMemory,
  PlacementMode,
  PlacementStore,
  PlanRecord,
} from "../../core/fleet/plan-record.ts";
import type { ScheduleMemory } from "../../core/fleet/tick-schedule.ts";
import { PLAN_HISTORY } from "../../core/limits.ts";
import type { Elsewhere, Score, ScoredMode } from "../../core/placement/score.ts";
import type { MoveReason, StayReason } from "../../core/placement/types.ts";
import { machineIdSchema, modelIdSchema, type MachineId } from "../../protocol/ids.ts";
import { logWarning } from "../log.ts";

/**
 * What placement remembers, in the fleet's SQLite: one row with what it has learned, a bounded history of plans, and load times.
 * What an earlier version wrote in another shape counts as nothing learned: estimates are back after some ticks.
 */

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

const planSchema = z.object({
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
}) satisfies z.ZodType<LastPlan>;

const estimateSchema = z.object({
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
  persistence: z.object({ ofFast: z.number(), ofSlow: z.number() }),
  hindsight: z.object({
    lately: z.object({
      fast: z.number(),
      slow: z.number(),
      fastUsual: z.number(),
      slowUsual: z.number(),
      fastFast: z.number(),
      fastSlow: z.number(),
      slowSlow: z.number(),
    }),
    moments: z.object({
      fastFast: z.number(),
      fastSlow: z.number(),
      slowSlow: z.number(),
      fastCame: z.number(),
      slowCame: z.number(),
    }),
  }),
});

const totalsSchema = z.object({
  arrivals: z.number(),
  good: z.number(),
  answered: z.number(),
  promptTokens: z.number(),
  completionTokens: z.number(),
});

const memorySchema = z.object({
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

const scoreSchema = z.object({
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
      switches: z.number(),
    }),
  ),
});

type KeptScore = z.infer<typeof scoreSchema>;

export class SqlPlacementStore implements PlacementStore {
  readonly #sql: SqlStorage;

  /** @param sql of a fleet whose migrations have run. */
  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  placement(): PlacementMemory | null {
    return this.#onlyRow("SELECT json FROM placement", memorySchema);
  }

  savePlacement(memory: PlacementMemory): void {
    this.#sql.exec("INSERT OR REPLACE INTO placement VALUES (1, ?)", JSON.stringify(memory));
  }

  score(): Score | null {
    const kept = this.#onlyRow("SELECT json FROM placement_score", scoreSchema);
    return kept === null ? null : { ...kept, elsewhere: elsewhereOf(kept) };
  }

  saveScore(score: Score): void {
    const kept: KeptScore = { ...score, days: [...score.days], elsewhere: byModel(score) };
    this.#sql.exec("INSERT OR REPLACE INTO placement_score VALUES (1, ?)", JSON.stringify(kept));
  }

  addPlan(plan: PlanRecord): void {
    this.#sql.exec("INSERT INTO plans (json) VALUES (?)", JSON.stringify(plan));
    this.#sql.exec("DELETE FROM plans WHERE id <= (SELECT MAX(id) FROM plans) - ?", PLAN_HISTORY);
  }

  plans(limit: number): PlanRecord[] {
    return this.#sql
      .exec<{ json: string }>("SELECT json FROM plans ORDER BY id DESC LIMIT ?", limit)
      .toArray()
      .flatMap(({ json }) => {
        const parsed = planSchema.safeParse(JSON.parse(json));
        return parsed.success ? [parsed.data] : [];
      });
  }

  schedule(): ScheduleMemory | null {
    const [row] = this.#sql
      .exec<{ last_at: number; quiet_ticks: number }>("SELECT last_at, quiet_ticks FROM schedule")
      .toArray();
    return row === undefined ? null : { lastAt: row.last_at, quietTicks: row.quiet_ticks };
  }

  saveSchedule({ lastAt, quietTicks }: ScheduleMemory): void {
    this.#sql.exec("INSERT OR REPLACE INTO schedule VALUES (1, ?, ?)", lastAt, quietTicks);
  }

  poolsInDemand(): string[] {
    return this.#sql
      .exec<{ pool: string }>("SELECT pool FROM pools_in_demand")
      .toArray()
      .map(({ pool }) => pool);
  }

  addPoolInDemand(pool: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO pools_in_demand VALUES (?)", pool);
  }

  clearPoolsInDemand(): void {
    this.#sql.exec("DELETE FROM pools_in_demand");
  }

  loadTimes(): LoadTime[] {
    return this.#sql
      .exec<{ machine_id: string; model: string; seconds: number }>("SELECT * FROM load_times")
      .toArray()
      .map((row) => ({
        machineId: machineIdSchema.parse(row.machine_id),
        model: modelIdSchema.parse(row.model),
        seconds: row.seconds,
      }));
  }

  saveLoadTime({ machineId, model, seconds }: LoadTime): void {
    this.#sql.exec("INSERT OR REPLACE INTO load_times VALUES (?, ?, ?)", machineId, model, seconds);
  }

  removeLoadTimes(machineId: MachineId): void {
    this.#sql.exec("DELETE FROM load_times WHERE machine_id = ?", machineId);
  }

  #onlyRow<T>(select: string, schema: z.ZodType<T>): T | null {
    const [row] = this.#sql.exec<{ json: string }>(select).toArray();
    if (row === undefined) return null;
    const parsed = schema.safeParse(JSON.parse(row.json));
    if (parsed.success) return parsed.data;
    logWarning("placement_forgotten", { error: parsed.error.message.slice(0, 200) });
    return null;
  }
}

function byModel({ elsewhere }: Score): KeptScore["elsewhere"] {
  const groups = Map.groupBy(elsewhere, ({ model }) => model);
  return Object.fromEntries(
    [...groups].map(([model, machines]) => [
      model,
      machines.map(({ machineId, readyAt }): [string, number] => [machineId, readyAt]),
    ]),
  );
}

function elsewhereOf({ elsewhere }: KeptScore): Elsewhere[] {
  return Object.entries(elsewhere).flatMap(([model, machines]) =>
    machines.map(([machineId, readyAt]) => ({ machineId, model: modelIdSchema.parse(model), readyAt })),
  );
}
