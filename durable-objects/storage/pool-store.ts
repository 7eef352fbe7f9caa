import { DEMAND_RETENTION_MS, USAGE_RETENTION_MS, USAGE_ROWS_MAX } from "../../core/limits.ts";
import type { CordonStore } from "../../core/pool/cordons.ts";
import type { DemandRow } from "../../core/pool/demand.ts";
import type { Entries, LedgerMemory } from "../../core/pool/ledger.ts";
import { INITIAL_SETTINGS, poolSettingsSchema, type PoolSettings } from "../../core/pool/settings.ts";
import { machineSpeedSchema, type MeasuredMachine } from "../../core/pool/speeds.ts";
import { USAGE_SPANS_MS, type UsageRow, type UsageSpan } from "../../core/pool/usage.ts";
import { machineIdSchema, type MachineId } from "../../protocol/ids.ts";
import { addCounts, workColumns, workOf, type WorkColumns } from "./count-rows.ts";
import { SqlMachineWorkStore } from "./machine-work-store.ts";
import { migrate, POOL_MIGRATIONS } from "./migrations.ts";
import { SqlRecordStore } from "./record-store.ts";
import { parseJson, putRow, understood } from "./rows.ts";

/** What a pool keeps in SQLite. Nothing here is on the path of a request. */
export class PoolStore {
  readonly #sql: SqlStorage;
  readonly #storage: DurableObjectStorage;
  readonly records: SqlRecordStore;
  readonly work: SqlMachineWorkStore;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    storage.transactionSync(() => migrate(this.#sql, POOL_MIGRATIONS));
    this.records = new SqlRecordStore(this.#sql);
    this.work = new SqlMachineWorkStore(this.#sql);
  }

  /** What a later version has written may be more than this one understands: then the fleet has to tell it again. */
  settings(): PoolSettings {
    const [row] = this.#sql.exec<{ json: string }>("SELECT json FROM settings").toArray();
    if (row === undefined) return INITIAL_SETTINGS;
    return parseJson(poolSettingsSchema, row.json) ?? INITIAL_SETTINGS;
  }

  saveSettings(settings: PoolSettings): void {
    putRow(this.#sql, "settings", { id: 1, json: JSON.stringify(settings) });
  }

  connectedMachines(): MachineId[] {
    const rows = this.#sql
      .exec<{ machine_id: string }>("SELECT machine_id FROM connected_machines")
      .toArray();
    return understood("connected_machines", rows, (row) => machineIdSchema.parse(row.machine_id));
  }

  rememberMachine(machineId: MachineId): void {
    this.#sql.exec("INSERT OR IGNORE INTO connected_machines (machine_id) VALUES (?)", machineId);
  }

  forgetMachine(machineId: MachineId): void {
    this.#sql.exec("DELETE FROM connected_machines WHERE machine_id = ?", machineId);
  }

  /** That a machine is cordoned, and from when that word is. */
  readonly cordons: CordonStore = {
    all: () => {
      const rows = this.#sql
        .exec<{ machine_id: string; as_of: number }>("SELECT machine_id, as_of FROM cordons")
        .toArray();
      return understood(
        "cordons",
        rows,
        (row) => [machineIdSchema.parse(row.machine_id), row.as_of] as const,
      );
    },
    put: (machineId, asOf) => putRow(this.#sql, "cordons", { machine_id: machineId, as_of: asOf }),
    remove: (machineId) => {
      this.#sql.exec("DELETE FROM cordons WHERE machine_id = ?", machineId);
    },
  };

  ledger(): LedgerMemory {
    const totals = this.#sql
      .exec<{ name: string; value: number }>("SELECT name, value FROM totals")
      .toArray();
    return { totals, speeds: () => this.#speeds() };
  }

  #speeds(): MeasuredMachine[] {
    const rows = this.#sql
      .exec<{ machine_id: string; json: string }>("SELECT machine_id, json FROM speeds")
      .toArray();
    return understood("speeds", rows, ({ machine_id, json }) => ({
      machineId: machineIdSchema.parse(machine_id),
      speed: machineSpeedSchema.parse(JSON.parse(json)),
    }));
  }

  /** Adds counts to those of the same hour or minute, in one transaction, and drops what is too old. */
  addEntries({ usage, demand, totals, speeds, work }: Entries, now: number): void {
    this.#storage.transactionSync(() => {
      this.work.add(work, now);
      for (const row of usage) {
        const key = { hour_at: row.hourAt, key_id: row.keyId, outcome: row.outcome };
        addCounts(this.#sql, "usage", key, workColumns(row));
      }
      for (const row of demand) {
        const { minuteAt, arrivals, completed } = row;
        const tokens = { prompt_tokens: row.promptTokens, completion_tokens: row.completionTokens };
        addCounts(this.#sql, "demand", { minute_at: minuteAt }, { arrivals, completed, ...tokens });
      }
      for (const { name, value } of totals) {
        putRow(this.#sql, "totals", { name, value });
      }
      for (const { machineId, speed } of speeds) {
        if (speed === null) this.#sql.exec("DELETE FROM speeds WHERE machine_id = ?", machineId);
        else putRow(this.#sql, "speeds", { machine_id: machineId, json: JSON.stringify(speed) });
      }
      this.#sql.exec("DELETE FROM usage WHERE hour_at < ?", now - USAGE_RETENTION_MS);
      this.#sql.exec("DELETE FROM demand WHERE minute_at < ?", now - DEMAND_RETENTION_MS);
    });
  }

  /** Demand of the minutes that began at `since` (ms since the epoch) or later, the oldest first. */
  demandSince(since: number): DemandRow[] {
    return this.#sql
      .exec<{
        minute_at: number;
        arrivals: number;
        prompt_tokens: number;
        completed: number;
        completion_tokens: number;
      }>("SELECT * FROM demand WHERE minute_at >= ? ORDER BY minute_at", since)
      .toArray()
      .map((row) => ({
        minuteAt: row.minute_at,
        arrivals: row.arrivals,
        promptTokens: row.prompt_tokens,
        completed: row.completed,
        completionTokens: row.completion_tokens,
      }));
  }

  /**
   * Usage of the hours that began at `since` (ms since the epoch) or later, added up by the hour or the UTC day in which they
   * began. Null if those are too many rows to be told at once.
   */
  usageSince(since: number, span: UsageSpan): UsageRow[] | null {
    const rows = this.#sql
      .exec<{ begins_at: number; key_id: string; outcome: string } & WorkColumns>(
        `SELECT hour_at - hour_at % ? AS begins_at, key_id, outcome, SUM(requests) AS requests,
           SUM(prompt_tokens) AS prompt_tokens, SUM(completion_tokens) AS completion_tokens,
           SUM(cached_tokens) AS cached_tokens
         FROM usage WHERE hour_at >= ? GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT ?`,
        USAGE_SPANS_MS[span],
        since,
        USAGE_ROWS_MAX + 1,
      )
      .toArray();
    if (rows.length > USAGE_ROWS_MAX) return null;
    return rows.map((row) => ({
      hourAt: row.begins_at,
      keyId: row.key_id,
      outcome: row.outcome,
      ...workOf(row),
    }));
  }
}
