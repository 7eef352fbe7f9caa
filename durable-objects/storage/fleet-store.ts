import { z } from "zod";

import { machineIdSchema, modelIdSchema, type MachineId, type ModelId } from "../../protocol/ids.ts";
import type { Register } from "../../protocol/upstream.ts";
import { FLEET_MIGRATIONS, migrate } from "./migrations.ts";

/** What the fleet knows of a machine, connected or not. */
export interface MachineRecord {
  readonly machineId: MachineId;
  readonly owner: string;
  readonly publicKey: string;
  /** Ids of the models on its disk, as it last said. */
  readonly models: readonly ModelId[];
  /** The list of pools it was last told. */
  readonly pools: readonly ModelId[];
}

export interface Membership {
  readonly machineId: MachineId;
  readonly pool: string;
  readonly dialedAt: number;
}

const modelIdsSchema = z.array(modelIdSchema);

type MachineRow = { machine_id: string; owner: string; public_key: string; models: string; pools: string };

/** The fleet's SQLite: the machine directory, memberships and revoked tokens. */
export class FleetStore {
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    storage.transactionSync(() => migrate(this.#sql, FLEET_MIGRATIONS));
  }

  machine(machineId: MachineId): MachineRecord | null {
    const [row] = this.#sql
      .exec<MachineRow>(
        "SELECT machine_id, owner, public_key, models, pools FROM machines WHERE machine_id = ?",
        machineId,
      )
      .toArray();
    return row === undefined ? null : machineOf(row);
  }

  /** Machines that may hold a socket somewhere. */
  machinesWithMemberships(): MachineRecord[] {
    return this.#sql
      .exec<MachineRow>(
        `SELECT machine_id, owner, public_key, models, pools FROM machines
         WHERE machine_id IN (SELECT machine_id FROM memberships)`,
      )
      .toArray()
      .map(machineOf);
  }

  /** Writes what a machine said of itself. Owner and key are those of its first register for ever (H22). */
  saveRegister(register: Register, owner: string, pools: readonly ModelId[], now: number): void {
    this.#sql.exec(
      `INSERT INTO machines (machine_id, owner, public_key, version, session_id, hardware, models, pools,
         first_registered_at, registered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (machine_id) DO UPDATE SET version = excluded.version, session_id = excluded.session_id,
         hardware = excluded.hardware, models = excluded.models, pools = excluded.pools,
         registered_at = excluded.registered_at`,
      register.machine_id,
      owner,
      register.public_key,
      register.version ?? null,
      register.session_id,
      JSON.stringify(register.hardware),
      JSON.stringify(register.models.map((model) => model.id)),
      JSON.stringify(pools),
      now,
      now,
    );
  }

  savePools(machineId: MachineId, pools: readonly ModelId[]): void {
    this.#sql.exec("UPDATE machines SET pools = ? WHERE machine_id = ?", JSON.stringify(pools), machineId);
  }

  addMembership(machineId: MachineId, pool: string, now: number): void {
    this.#sql.exec(
      `INSERT INTO memberships (machine_id, pool, dialed_at) VALUES (?, ?, ?)
       ON CONFLICT (machine_id, pool) DO UPDATE SET dialed_at = excluded.dialed_at`,
      machineId,
      pool,
      now,
    );
  }

  removeMembership(machineId: MachineId, pool: string): void {
    this.#sql.exec("DELETE FROM memberships WHERE machine_id = ? AND pool = ?", machineId, pool);
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

function machineOf(row: MachineRow): MachineRecord {
  return {
    machineId: machineIdSchema.parse(row.machine_id),
    owner: row.owner,
    publicKey: row.public_key,
    models: modelIdsSchema.parse(JSON.parse(row.models)),
    pools: modelIdsSchema.parse(JSON.parse(row.pools)),
  };
}
