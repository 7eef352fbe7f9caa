import { flagNameSchema } from "../../core/flags.ts";
import type { FlagState, FlagStore } from "../../core/fleet/flag-book.ts";
import type {
  Cooldown,
  FleetStore,
  Intent,
  Machine,
  Membership,
  Switch,
  SwitchTotal,
} from "../../core/fleet/machine.ts";
import { SWITCH_HISTORY } from "../../core/limits.ts";
import { machineIdSchema, modelIdSchema, type MachineId, type ModelId } from "../../protocol/ids.ts";
import {
  machineOf,
  intentOf,
  switchOf,
  switchOutcomeSchema,
  type IntentRow,
  type MachineRow,
  type SwitchRow,
} from "./fleet-rows.ts";
import { FLEET_MIGRATIONS, migrate } from "./migrations.ts";

/** The fleet's SQLite: the machine directory, memberships, orders, flags, and revoked tokens. */

export class SqlFleetStore implements FleetStore, FlagStore {
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    storage.transactionSync(() => migrate(this.#sql, FLEET_MIGRATIONS));
  }

  machines(): Machine[] {
    return this.#sql.exec<MachineRow>("SELECT * FROM machines").toArray().map(machineOf);
  }

  saveMachine(machine: Machine): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO machines (machine_id, owner, public_key, version, session_id, hardware, models, pools,
         first_registered_at, registered_at, private_only, max_concurrency, quarantined, cordoned_at,
         gone_at, uncordoned_at, token_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      machine.machineId,
      machine.owner,
      machine.publicKey,
      machine.version,
      machine.sessionId,
      JSON.stringify(machine.hardware),
      JSON.stringify(machine.models),
      JSON.stringify(machine.pools),
      machine.firstRegisteredAt,
      machine.registeredAt,
      Number(machine.privateOnly),
      machine.maxConcurrency,
      Number(machine.isQuarantined),
      machine.cordonedAt,
      machine.goneAt,
      machine.uncordonedAt,
      machine.tokenId,
    );
  }

  removeMachine(machineId: MachineId): void {
    this.#sql.exec("DELETE FROM machines WHERE machine_id = ?", machineId);
  }

  memberships(): Membership[] {
    return this.#sql
      .exec<{ machine_id: string; pool: string; dialed_at: number }>(
        "SELECT machine_id, pool, dialed_at FROM memberships",
      )
      .toArray()
      .map((row) => ({
        machineId: machineIdSchema.parse(row.machine_id),
        pool: row.pool,
        dialedAt: row.dialed_at,
      }));
  }

  saveMembership({ machineId, pool, dialedAt }: Membership): void {
    this.#sql.exec("INSERT OR REPLACE INTO memberships VALUES (?, ?, ?)", machineId, pool, dialedAt);
  }

  removeMembership(machineId: MachineId, pool: string): void {
    this.#sql.exec("DELETE FROM memberships WHERE machine_id = ? AND pool = ?", machineId, pool);
  }

  intents(): Intent[] {
    return this.#sql.exec<IntentRow>("SELECT * FROM intents").toArray().map(intentOf);
  }

  saveIntent(intent: Intent): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      intent.machineId,
      intent.epoch,
      intent.model,
      intent.from,
      intent.reason,
      intent.phase,
      intent.outcome,
      intent.error?.code ?? null,
      intent.error?.message ?? null,
      JSON.stringify(intent.pending),
      Number(intent.isHeard),
      Number(intent.isPinned),
      intent.startedAt,
      intent.phaseAt,
      intent.rounds,
      intent.retryAt,
    );
  }

  removeIntent(machineId: MachineId): void {
    this.#sql.exec("DELETE FROM intents WHERE machine_id = ?", machineId);
  }

  cooldowns(): Cooldown[] {
    return this.#sql
      .exec<{ machine_id: string; model: string; until: number }>("SELECT * FROM cooldowns")
      .toArray()
      .map((row) => ({
        machineId: machineIdSchema.parse(row.machine_id),
        model: modelIdSchema.parse(row.model),
        until: row.until,
      }));
  }

  saveCooldown({ machineId, model, until }: Cooldown): void {
    this.#sql.exec("INSERT OR REPLACE INTO cooldowns VALUES (?, ?, ?)", machineId, model, until);
  }

  removeCooldown(machineId: MachineId, model: ModelId): void {
    this.#sql.exec("DELETE FROM cooldowns WHERE machine_id = ? AND model = ?", machineId, model);
  }

  configured(): [pool: string, version: number][] {
    return this.#sql
      .exec<{ pool: string; version: number }>("SELECT pool, version FROM configured_pools")
      .toArray()
      .map(({ pool, version }) => [pool, version]);
  }

  saveConfigured(pool: string, version: number): void {
    this.#sql.exec("INSERT OR REPLACE INTO configured_pools VALUES (?, ?)", pool, version);
  }

  addSwitch(entry: Switch): void {
    this.#sql.exec(
      `INSERT INTO switches (at, machine_id, from_model, to_model, epoch, reason, outcome, error, took_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      entry.at,
      entry.machineId,
      entry.from,
      entry.to,
      entry.epoch,
      entry.reason,
      entry.outcome,
      entry.error,
      entry.tookMs,
    );
    if (entry.to !== null) {
      this.#sql.exec(
        `INSERT INTO switch_totals VALUES (?, ?, 1)
         ON CONFLICT (model, outcome) DO UPDATE SET switches = switches + 1`,
        entry.to,
        entry.outcome,
      );
    }
    // By number of lines and not by id: removed ones leave holes.
    this.#sql.exec(
      "DELETE FROM switches WHERE id <= (SELECT id FROM switches ORDER BY id DESC LIMIT 1 OFFSET ?)",
      SWITCH_HISTORY,
    );
  }

  removeRepeated({ machineId, from, to, reason, outcome, error }: Switch): void {
    this.#sql.exec(
      `DELETE FROM switches WHERE id = (SELECT MAX(id) FROM switches WHERE machine_id = ?)
         AND from_model IS ? AND to_model IS ? AND reason = ? AND outcome = ? AND error IS ?`,
      machineId,
      from,
      to,
      reason,
      outcome,
      error,
    );
  }

  switchTotals(): SwitchTotal[] {
    return this.#sql
      .exec<{ model: string; outcome: string; switches: number }>("SELECT * FROM switch_totals")
      .toArray()
      .map((row) => ({ ...row, outcome: switchOutcomeSchema.parse(row.outcome) }));
  }

  switches(limit: number): Switch[] {
    return this.#sql
      .exec<SwitchRow>(
        `SELECT at, machine_id, from_model, to_model, epoch, reason, outcome, error, took_ms
         FROM switches ORDER BY id DESC LIMIT ?`,
        limit,
      )
      .toArray()
      .map(switchOf);
  }

  /** Those that this version knows: whoever goes back to an older one may have set a flag that it has not. */
  flags(): FlagState[] {
    return this.#sql
      .exec<{ name: string; text: string | null; last_read: string | null; invalid: string | null }>(
        "SELECT name, text, last_read, invalid FROM flags",
      )
      .toArray()
      .flatMap((row) => {
        const name = flagNameSchema.safeParse(row.name);
        if (!name.success) return [];
        return [{ name: name.data, text: row.text, lastRead: row.last_read, invalid: row.invalid }];
      });
  }

  saveFlag({ name, text, lastRead, invalid }: FlagState, version: number): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO flags VALUES (?, ?, ?, ?, ?)",
      name,
      text,
      lastRead,
      invalid,
      version,
    );
  }

  flagsVersion(): number {
    return this.#sql.exec<{ n: number }>("SELECT COALESCE(MAX(version), 0) AS n FROM flags").one().n;
  }

  /** The catalog in force as JSON text, with its version; null before the first one. */
  catalog(): { readonly version: number; readonly json: string } | null {
    const [row] = this.#sql
      .exec<{ version: number; json: string }>("SELECT version, json FROM catalog")
      .toArray();
    return row ?? null;
  }

  saveCatalog(version: number, json: string): void {
    this.#sql.exec("INSERT OR REPLACE INTO catalog VALUES (1, ?, ?)", version, json);
  }

  /** The catalog that somebody had written to KV by hand when it was last read; null if none, or the fleet's own. */
  lastReadCatalog(): string | null {
    const [row] = this.#sql.exec<{ json: string | null }>("SELECT json FROM last_read_catalog").toArray();
    return row?.json ?? null;
  }

  saveLastReadCatalog(json: string | null): void {
    this.#sql.exec("INSERT OR REPLACE INTO last_read_catalog VALUES (1, ?)", json);
  }

  revokeToken(tokenId: string, now: number): void {
    this.#sql.exec("INSERT OR IGNORE INTO revoked_tokens (token_id, revoked_at) VALUES (?, ?)", tokenId, now);
  }

  isRevoked(tokenId: string): boolean {
    return this.#sql.exec("SELECT 1 FROM revoked_tokens WHERE token_id = ?", tokenId).toArray().length > 0;
  }

  tokensRevokedSince(since: number): string[] {
    return this.#sql
      .exec<{ token_id: string }>("SELECT token_id FROM revoked_tokens WHERE revoked_at >= ?", since)
      .toArray()
      .map((row) => row.token_id);
  }
}
