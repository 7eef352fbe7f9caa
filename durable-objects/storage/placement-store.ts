import type { z } from "zod";

import type { LoadTime, PlacementMemory, PlacementStore, PlanRecord } from "../../core/fleet/plan-record.ts";
import type { ScheduleMemory } from "../../core/fleet/tick-schedule.ts";
import { PLAN_HISTORY } from "../../core/limits.ts";
import type { Elsewhere, Score } from "../../core/placement/score.ts";
import { machineIdSchema, modelIdSchema, type MachineId } from "../../protocol/ids.ts";
import { logWarning } from "../log.ts";
import { memorySchema, planSchema, scoreSchema, type KeptScore } from "./placement-rows.ts";
import { parseJson, putRow, understood } from "./rows.ts";

/**
 * What placement remembers, in the fleet's SQLite: one row with what it has learned, a bounded history of plans, and load times.
 * What another version wrote in another shape counts as nothing learned: estimates are back after some ticks.
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
    putRow(this.#sql, "placement", { id: 1, json: JSON.stringify(memory) });
  }

  score(): Score | null {
    const kept = this.#onlyRow("SELECT json FROM placement_score", scoreSchema);
    return kept === null ? null : { ...kept, elsewhere: elsewhereOf(kept) };
  }

  saveScore(score: Score): void {
    const kept: KeptScore = { ...score, days: [...score.days], elsewhere: byModel(score) };
    putRow(this.#sql, "placement_score", { id: 1, json: JSON.stringify(kept) });
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
        return parseJson(planSchema, json) ?? [];
      });
  }

  schedule(): ScheduleMemory | null {
    const [row] = this.#sql
      .exec<{ last_at: number; quiet_ticks: number }>("SELECT last_at, quiet_ticks FROM schedule")
      .toArray();
    return row === undefined ? null : { lastAt: row.last_at, quietTicks: row.quiet_ticks };
  }

  saveSchedule({ lastAt, quietTicks }: ScheduleMemory): void {
    putRow(this.#sql, "schedule", { id: 1, last_at: lastAt, quiet_ticks: quietTicks });
  }

  poolsInDemand(): string[] {
    return this.#sql
      .exec<{ pool: string }>("SELECT pool FROM pools_in_demand")
      .toArray()
      .map(({ pool }) => pool);
  }

  addPoolInDemand(pool: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO pools_in_demand (pool) VALUES (?)", pool);
  }

  clearPoolsInDemand(): void {
    this.#sql.exec("DELETE FROM pools_in_demand");
  }

  loadTimes(): LoadTime[] {
    const rows = this.#sql
      .exec<{ machine_id: string; model: string; seconds: number }>("SELECT * FROM load_times")
      .toArray();
    return understood("load_times", rows, ({ machine_id, model, seconds }) => ({
      machineId: machineIdSchema.parse(machine_id),
      model: modelIdSchema.parse(model),
      seconds,
    }));
  }

  saveLoadTime({ machineId, model, seconds }: LoadTime): void {
    putRow(this.#sql, "load_times", { machine_id: machineId, model, seconds });
  }

  removeLoadTimes(machineId: MachineId): void {
    this.#sql.exec("DELETE FROM load_times WHERE machine_id = ?", machineId);
  }

  #onlyRow<T>(select: string, schema: z.ZodType<T>): T | null {
    const [row] = this.#sql.exec<{ json: string }>(select).toArray();
    if (row === undefined) return null;
    try {
      return schema.parse(JSON.parse(row.json));
    } catch (error) {
      logWarning("placement_forgotten", { error: String(error).slice(0, 200) });
      return null;
    }
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
