import { z } from "zod";

import type { IdlePool, IdlePoolStore } from "../../core/fleet/idle-pools.ts";
import { putRow, understood } from "./rows.ts";

const totalsSchema = z.record(z.string(), z.number());

/** Counters of pools that need not be asked for them, in the fleet's SQLite. */
export class SqlIdlePoolStore implements IdlePoolStore {
  readonly #sql: SqlStorage;

  /** @param sql of a fleet whose migrations have run. */
  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  idlePools(): IdlePool[] {
    const rows = this.#sql
      .exec<{ pool: string; read_at: number; totals: string }>("SELECT * FROM idle_pools")
      .toArray();
    return understood("idle_pools", rows, ({ pool, read_at, totals }) => ({
      pool,
      readAt: read_at,
      totals: totalsOf(totals),
    }));
  }

  saveIdlePool({ pool, readAt, totals }: IdlePool): void {
    putRow(this.#sql, "idle_pools", {
      pool,
      read_at: readAt,
      totals: JSON.stringify(Object.fromEntries(totals)),
    });
  }

  removeIdlePool(pool: string): void {
    this.#sql.exec("DELETE FROM idle_pools WHERE pool = ?", pool);
  }
}

function totalsOf(json: string): ReadonlyMap<string, number> {
  return new Map(Object.entries(totalsSchema.parse(JSON.parse(json))));
}
