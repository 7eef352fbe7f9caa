import { USAGE_RETENTION_MS } from "../../core/limits.ts";
import type { MachineWork } from "../../core/pool/machine-work.ts";
import type { MachineId } from "../../protocol/ids.ts";
import { addToRow } from "./rows.ts";

/** What machines have answered in a pool, by day, in the pool's SQLite; kept as long as usage. */
export class SqlMachineWorkStore {
  readonly #sql: SqlStorage;

  /** @param sql of a pool whose migrations have run. */
  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Adds counts to those of the same day, and drops what is too old. Within a transaction of the caller's. */
  add(rows: readonly MachineWork[], now: number): void {
    for (const row of rows) {
      addToRow(
        this.#sql,
        "machine_work",
        { machine_id: row.machineId, day_at: row.dayAt },
        {
          requests: row.requests,
          prompt_tokens: row.promptTokens,
          completion_tokens: row.completionTokens,
          cached_tokens: row.cachedTokens,
        },
      );
    }
    this.#sql.exec("DELETE FROM machine_work WHERE day_at < ?", now - USAGE_RETENTION_MS);
  }

  /** Of the days that began at `since` (ms since the epoch) or later, the oldest first. */
  of(machineId: MachineId, since: number): MachineWork[] {
    return this.#sql
      .exec<{
        day_at: number;
        requests: number;
        prompt_tokens: number;
        completion_tokens: number;
        cached_tokens: number;
      }>("SELECT * FROM machine_work WHERE machine_id = ? AND day_at >= ? ORDER BY day_at", machineId, since)
      .toArray()
      .map((row) => ({
        machineId,
        dayAt: row.day_at,
        requests: row.requests,
        promptTokens: row.prompt_tokens,
        completionTokens: row.completion_tokens,
        cachedTokens: row.cached_tokens,
      }));
  }
}
