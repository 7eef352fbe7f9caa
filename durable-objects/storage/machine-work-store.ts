import { USAGE_RETENTION_MS } from "../../core/limits.ts";
import type { MachineWork } from "../../core/pool/machine-work.ts";
import type { MachineId } from "../../protocol/ids.ts";
import { addCounts, workColumns, workOf, type WorkColumns } from "./count-rows.ts";

/** What machines have answered in a pool, by day, in the pool's SQLite; kept as long as usage. */
export class SqlMachineWorkStore {
  readonly #sql: SqlStorage;

  /** @param sql of a pool whose migrations have run. */
  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /**
   * Adds counts to those of the same day, or puts them in place of those for an earlier owner, and drops what is too old. A row
   * from before owners were kept becomes this one's. Within a transaction of the caller's.
   */
  add(rows: readonly MachineWork[], now: number): void {
    // No index tells which are too old: a pool that writes other counts every ten seconds would read each row as often.
    if (rows.length === 0) return;
    for (const row of rows) {
      const key = { machine_id: row.machineId, day_at: row.dayAt, owner: row.owner };
      this.#sql.exec(
        "UPDATE machine_work SET owner = ?3 WHERE machine_id = ?1 AND day_at = ?2 AND owner = ''",
        ...Object.values(key),
      );
      this.#sql.exec(
        "DELETE FROM machine_work WHERE machine_id = ? AND day_at = ? AND owner <> ?",
        ...Object.values(key),
      );
      addCounts(this.#sql, "machine_work", key, workColumns(row));
    }
    this.#sql.exec("DELETE FROM machine_work WHERE day_at < ?", now - USAGE_RETENTION_MS);
  }

  /**
   * For this owner, or from before owners were kept, of the days that began at `since` (ms since the epoch) or later, the oldest
   * first.
   */
  of(machineId: MachineId, owner: string, since: number): MachineWork[] {
    return this.#sql
      .exec<{ day_at: number } & WorkColumns>(
        "SELECT * FROM machine_work WHERE machine_id = ? AND owner IN (?, '') AND day_at >= ? ORDER BY day_at",
        machineId,
        owner,
        since,
      )
      .toArray()
      .map((row) => ({ machineId, owner, dayAt: row.day_at, ...workOf(row) }));
  }
}
