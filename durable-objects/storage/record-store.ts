import { z } from "zod";

import type { PoolRecord, RecordStore } from "../../core/pool/record.ts";
import { epochSchema, machineIdSchema, type MachineId } from "../../protocol/ids.ts";

/** A pool's records of its machines in SQLite. */

const modeSchema = z.enum(["unmanaged", "released", "expected", "draining", "loading", "assigned", "failed"]);

type Row = {
  machine_id: string;
  mode: string;
  epoch: number;
  since: number;
  deadline_at: number | null;
  drain_ms: number;
  load_ms: number;
  public_key: string;
  error_code: string | null;
  error_message: string | null;
};

export class SqlRecordStore implements RecordStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  all(): PoolRecord[] {
    return this.#sql.exec<Row>("SELECT * FROM records").toArray().map(recordOf);
  }

  put({ machineId, mode, epoch, since, deadlineAt, terms, error }: PoolRecord): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      machineId,
      mode,
      epoch,
      since,
      deadlineAt,
      terms.drainMs,
      terms.loadMs,
      terms.publicKey,
      error?.code ?? null,
      error?.message ?? null,
    );
  }

  remove(machineId: MachineId): void {
    this.#sql.exec("DELETE FROM records WHERE machine_id = ?", machineId);
  }
}

function recordOf(row: Row): PoolRecord {
  return {
    machineId: machineIdSchema.parse(row.machine_id),
    mode: modeSchema.parse(row.mode),
    epoch: epochSchema.parse(row.epoch),
    since: row.since,
    deadlineAt: row.deadline_at,
    terms: { drainMs: row.drain_ms, loadMs: row.load_ms, publicKey: row.public_key },
    // How far a load was is not kept: the machine's next status says it.
    progress: 0,
    error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? "" },
  };
}
