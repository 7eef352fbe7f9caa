/**
 * Append-only lists of SQL, one per object class. Each statement runs once, in order, before anything else: to
 * change a table, append; never edit what has shipped.
 */

export const POOL_MIGRATIONS: readonly string[] = [
  // Machines that are connected, so that a restarted pool knows whom to wait for.
  "CREATE TABLE connected_machines (machine_id TEXT PRIMARY KEY) WITHOUT ROWID",
  `CREATE TABLE usage (
    hour_at INTEGER NOT NULL, key_id TEXT NOT NULL, outcome TEXT NOT NULL,
    requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    PRIMARY KEY (hour_at, key_id, outcome)) WITHOUT ROWID`,
];

export const FLEET_MIGRATIONS: readonly string[] = [
  // The machine directory. A machine belongs to the owner and the key of its first register (H22).
  `CREATE TABLE machines (
    machine_id TEXT PRIMARY KEY, owner TEXT NOT NULL, public_key TEXT NOT NULL,
    version TEXT, session_id TEXT NOT NULL, hardware TEXT NOT NULL, models TEXT NOT NULL, pools TEXT NOT NULL,
    first_registered_at INTEGER NOT NULL, registered_at INTEGER NOT NULL) WITHOUT ROWID`,
  // Which pools may hold a socket of a machine; written before the dial is answered (H1).
  `CREATE TABLE memberships (
    machine_id TEXT NOT NULL, pool TEXT NOT NULL, dialed_at INTEGER NOT NULL,
    PRIMARY KEY (machine_id, pool)) WITHOUT ROWID`,
  // Checked on every dial, since KV may hand out a deleted token for a minute (H22).
  "CREATE TABLE revoked_tokens (token_id TEXT PRIMARY KEY, revoked_at INTEGER NOT NULL) WITHOUT ROWID",
];

/** Runs what has not run yet. Call it in the constructor, under `blockConcurrencyWhile` semantics: it is synchronous. */
export function migrate(sql: SqlStorage, migrations: readonly string[]): void {
  sql.exec("CREATE TABLE IF NOT EXISTS migrations (id INTEGER PRIMARY KEY)");
  const done = sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM migrations").one().n;
  migrations.slice(done).forEach((statement, index) => {
    sql.exec(statement);
    sql.exec("INSERT INTO migrations (id) VALUES (?)", done + index);
  });
}
