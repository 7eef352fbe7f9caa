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
  bareMachineOf,
  intentOf,
  machineOf,
  switchOf,
  switchOutcomeSchema,
  unreadIntentOf,
  type IntentRow,
  type MachineRow,
  type SwitchRow,
} from "./fleet-rows.ts";
import { FLEET_MIGRATIONS, migrate } from "./migrations.ts";
import { putRow, understood } from "./rows.ts";

/** The fleet's SQLite: the machine directory, memberships, orders, flags, and revoked tokens. */

export class SqlFleetStore implements FleetStore, FlagStore {
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    storage.transactionSync(() => migrate(this.#sql, FLEET_MIGRATIONS));
  }

  machines(): Machine[] {
    const rows = this.#sql.exec<MachineRow>("SELECT * FROM machines").toArray();
    return understood("machines", rows, machineOf, bareMachineOf);
  }

  saveMachine(machine: Machine): void {
    putRow(this.#sql, "machines", {
      machine_id: machine.machineId,
      owner: machine.owner,
      public_key: machine.publicKey,
      version: machine.version,
      session_id: machine.sessionId,
      token_id: machine.tokenId,
      hardware: JSON.stringify(machine.hardware),
      models: JSON.stringify(machine.models),
      pools: JSON.stringify(machine.pools),
      first_registered_at: machine.firstRegisteredAt,
      registered_at: machine.registeredAt,
      private_only: Number(machine.privateOnly),
      max_concurrency: machine.maxConcurrency,
      quarantined: Number(machine.isQuarantined),
      cordoned_at: machine.cordonedAt,
      gone_at: machine.goneAt,
      uncordoned_at: machine.uncordonedAt,
      left_at: machine.leftAt,
    } satisfies MachineRow);
  }

  removeMachine(machineId: MachineId): void {
    this.#sql.exec("DELETE FROM machines WHERE machine_id = ?", machineId);
  }

  memberships(): Membership[] {
    const rows = this.#sql
      .exec<{ machine_id: string; pool: string; dialed_at: number }>("SELECT * FROM memberships")
      .toArray();
    return understood("memberships", rows, ({ machine_id, pool, dialed_at }) => ({
      machineId: machineIdSchema.parse(machine_id),
      pool,
      dialedAt: dialed_at,
    }));
  }

  saveMembership({ machineId, pool, dialedAt }: Membership): void {
    putRow(this.#sql, "memberships", { machine_id: machineId, pool, dialed_at: dialedAt });
  }

  removeMembership(machineId: MachineId, pool: string): void {
    this.#sql.exec("DELETE FROM memberships WHERE machine_id = ? AND pool = ?", machineId, pool);
  }

  intents(): Intent[] {
    const rows = this.#sql.exec<IntentRow>("SELECT * FROM intents").toArray();
    return understood("intents", rows, intentOf, unreadIntentOf);
  }

  saveIntent(intent: Intent): void {
    putRow(this.#sql, "intents", {
      machine_id: intent.machineId,
      epoch: intent.epoch,
      model: intent.model,
      from_model: intent.from,
      reason: intent.reason,
      phase: intent.phase,
      outcome: intent.outcome,
      error_code: intent.error?.code ?? null,
      error_message: intent.error?.message ?? null,
      pending: JSON.stringify(intent.pending),
      holders: JSON.stringify(intent.holders),
      heard: Number(intent.isHeard),
      pinned: Number(intent.isPinned),
      started_at: intent.startedAt,
      phase_at: intent.phaseAt,
      rounds: intent.rounds,
      retry_at: intent.retryAt,
    } satisfies IntentRow);
  }

  removeIntent(machineId: MachineId): void {
    this.#sql.exec("DELETE FROM intents WHERE machine_id = ?", machineId);
  }

  cooldowns(): Cooldown[] {
    const rows = this.#sql
      .exec<{ machine_id: string; model: string; until: number }>("SELECT * FROM cooldowns")
      .toArray();
    return understood("cooldowns", rows, ({ machine_id, model, until }) => ({
      machineId: machineIdSchema.parse(machine_id),
      model: modelIdSchema.parse(model),
      until,
    }));
  }

  saveCooldown({ machineId, model, until }: Cooldown): void {
    putRow(this.#sql, "cooldowns", { machine_id: machineId, model, until });
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
    putRow(this.#sql, "configured_pools", { pool, version });
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
        `INSERT INTO switch_totals (model, outcome, switches) VALUES (?, ?, 1)
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
    const rows = this.#sql
      .exec<{ model: string; outcome: string; switches: number }>("SELECT * FROM switch_totals")
      .toArray();
    return understood("switch_totals", rows, ({ model, outcome, switches }) => ({
      model,
      outcome: switchOutcomeSchema.parse(outcome),
      switches,
    }));
  }

  switches(limit: number): Switch[] {
    const rows = this.#sql
      .exec<SwitchRow>("SELECT * FROM switches ORDER BY id DESC LIMIT ?", limit)
      .toArray();
    return understood("switches", rows, switchOf);
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
    putRow(this.#sql, "flags", { name, text, last_read: lastRead, invalid, version });
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
    putRow(this.#sql, "catalog", { id: 1, version, json });
  }

  /** The catalog that somebody had written to KV by hand when it was last read; null if none, or the fleet's own. */
  lastReadCatalog(): string | null {
    const [row] = this.#sql.exec<{ json: string | null }>("SELECT json FROM last_read_catalog").toArray();
    return row?.json ?? null;
  }

  saveLastReadCatalog(json: string | null): void {
    putRow(this.#sql, "last_read_catalog", { id: 1, json });
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
