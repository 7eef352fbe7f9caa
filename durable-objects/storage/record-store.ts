import { z } from "zod";

import type { PoolRecord, RecordStore, Terms } from "../../core/pool/record.ts";
import { epochSchema, machineIdSchema, NEVER_MANAGED, type MachineId } from "../../protocol/ids.ts";
import { putRow, understood } from "./rows.ts";

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
    return understood(
      "records",
      this.#sql.exec<Row>("SELECT * FROM records").toArray(),
      recordOf,
      unreadRecordOf,
    );
  }

  put({ machineId, mode, epoch, since, deadlineAt, terms, error }: PoolRecord): void {
    putRow(this.#sql, "records", {
      machine_id: machineId,
      mode,
      epoch,
      since,
      deadline_at: deadlineAt,
      drain_ms: terms.drainMs,
      load_ms: terms.loadMs,
      public_key: terms.publicKey,
      error_code: error?.code ?? null,
      error_message: error?.message ?? null,
    } satisfies Row);
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
    terms: termsOf(row),
    // How far a load was is not kept: the machine's next status says it.
    progress: 0,
    error: row.error_code === null ? null : { code: row.error_code, message: row.error_message ?? "" },
  };
}

/**
 * A record that is not understood keeps requests away from its machine until the fleet says more: it yields to any word of
 * the fleet's, and the fleet orders again what it does not find here.
 */
function unreadRecordOf(row: Row): PoolRecord | null {
  const machineId = machineIdSchema.safeParse(row.machine_id);
  if (!machineId.success) return null;
  return {
    machineId: machineId.data,
    mode: "released",
    epoch: epochSchema.safeParse(row.epoch).data ?? NEVER_MANAGED,
    since: row.since,
    deadlineAt: null,
    terms: termsOf(row),
    progress: 0,
    error: null,
  };
}

function termsOf({ drain_ms, load_ms, public_key }: Row): Terms {
  return { drainMs: drain_ms, loadMs: load_ms, publicKey: public_key };
}
