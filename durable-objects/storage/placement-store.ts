import type { z } from "zod";

import type { LoadTime, PlacementMemory, PlacementStore, PlanRecord } from "../../core/fleet/plan-record.ts";
import type { ScheduleMemory } from "../../core/fleet/tick-schedule.ts";
import { PLAN_HISTORY } from "../../core/limits.ts";
import type { Elsewhere, Score } from "../../core/placement/score.ts";
import { machineIdSchema, modelIdSchema, type MachineId } from "../../protocol/ids.ts";
import { logWarning } from "../log.ts";
import { memorySchema, planSchema, scoreSchema, type KeptScore } from "./placement-rows.ts";

/**
 * What placement remembers, in the fleet's SQLite: one row with what it has learned, a bounded history of plans, and load times.
 * What an earlier version wrote in another shape counts as nothing learned: estimates are back after some ticks.
 */

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
