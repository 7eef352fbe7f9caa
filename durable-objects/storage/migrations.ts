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
  // What is known of each machine's assignment, also without a socket (H2).
  `CREATE TABLE records (
    machine_id TEXT PRIMARY KEY, mode TEXT NOT NULL, epoch INTEGER NOT NULL, since INTEGER NOT NULL,
    deadline_at INTEGER, drain_ms INTEGER NOT NULL, load_ms INTEGER NOT NULL, public_key TEXT NOT NULL,
    error_code TEXT, error_message TEXT) WITHOUT ROWID`,
  // One row: the fleet's settings as they were last heard.
  "CREATE TABLE settings (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL)",
  `CREATE TABLE demand (
    minute_at INTEGER PRIMARY KEY, arrivals INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completed INTEGER NOT NULL, completion_tokens INTEGER NOT NULL)`,
  // Counters that only rise, over all lives of the pool.
  "CREATE TABLE totals (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID",
  // How fast each machine was measured to be with this model.
  "CREATE TABLE speeds (machine_id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID",
  // Machines that an operator keeps requests away from, also without a socket, and from when that word is.
  "CREATE TABLE cordons (machine_id TEXT PRIMARY KEY, as_of INTEGER NOT NULL) WITHOUT ROWID",
  // What each machine has answered, for its owner.
  `CREATE TABLE machine_work (
    machine_id TEXT NOT NULL, day_at INTEGER NOT NULL, requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    PRIMARY KEY (machine_id, day_at)) WITHOUT ROWID`,
  "ALTER TABLE machine_work ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
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
  "ALTER TABLE machines ADD COLUMN private_only INTEGER NOT NULL DEFAULT 0",
  "ALTER TABLE machines ADD COLUMN max_concurrency INTEGER NOT NULL DEFAULT 1",
  "ALTER TABLE machines ADD COLUMN quarantined INTEGER NOT NULL DEFAULT 0",
  // The newest order about each machine (H3, H4).
  `CREATE TABLE intents (
    machine_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, model TEXT, from_model TEXT, reason TEXT NOT NULL,
    phase TEXT NOT NULL, outcome TEXT, error_code TEXT, error_message TEXT, pending TEXT NOT NULL,
    heard INTEGER NOT NULL, pinned INTEGER NOT NULL, started_at INTEGER NOT NULL, phase_at INTEGER NOT NULL,
    rounds INTEGER NOT NULL, retry_at INTEGER) WITHOUT ROWID`,
  `CREATE TABLE cooldowns (
    machine_id TEXT NOT NULL, model TEXT NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (machine_id, model)) WITHOUT ROWID`,
  `CREATE TABLE switches (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, machine_id TEXT NOT NULL, from_model TEXT, to_model TEXT,
    epoch INTEGER NOT NULL, reason TEXT NOT NULL, outcome TEXT NOT NULL, error TEXT, took_ms INTEGER NOT NULL)`,
  // The flags in force, and what KV held when it was last read (H17).
  `CREATE TABLE flags (
    name TEXT PRIMARY KEY, text TEXT, last_read TEXT, invalid TEXT, version INTEGER NOT NULL) WITHOUT ROWID`,
  // One row: the catalog in force.
  "CREATE TABLE catalog (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, json TEXT NOT NULL)",
  // One row: what was written to KV by hand when it was last read, so that it counts once.
  "CREATE TABLE last_read_catalog (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT)",
  // One row: what placement has learned, and its newest plan.
  "CREATE TABLE placement (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL)",
  // Plans with a move, or with a new reason why nothing can be moved.
  "CREATE TABLE plans (id INTEGER PRIMARY KEY, json TEXT NOT NULL)",
  // One row: when everything was last looked at.
  `CREATE TABLE schedule (
    id INTEGER PRIMARY KEY CHECK (id = 1), last_at INTEGER NOT NULL, quiet_ticks INTEGER NOT NULL)`,
  // Pools that have said that they are in demand since the last plan.
  "CREATE TABLE pools_in_demand (pool TEXT PRIMARY KEY) WITHOUT ROWID",
  `CREATE TABLE load_times (
    machine_id TEXT NOT NULL, model TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (machine_id, model)) WITHOUT ROWID`,
  // How many switches ever ended how, by the model that was ordered: the history keeps only the last of them.
  `CREATE TABLE switch_totals (
    model TEXT NOT NULL, outcome TEXT NOT NULL, switches INTEGER NOT NULL,
    PRIMARY KEY (model, outcome)) WITHOUT ROWID`,
  `INSERT INTO switch_totals
    SELECT to_model, outcome, COUNT(*) FROM switches WHERE to_model IS NOT NULL GROUP BY to_model, outcome`,
  // Counters of pools in which nothing has happened since they were read.
  "CREATE TABLE idle_pools (pool TEXT PRIMARY KEY, read_at INTEGER NOT NULL, totals TEXT NOT NULL) WITHOUT ROWID",
  // Which of the fleet's settings each pool has confirmed.
  "CREATE TABLE configured_pools (pool TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID",
  // One row: what placement was worth, by day.
  "CREATE TABLE placement_score (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL)",
  "ALTER TABLE machines ADD COLUMN cordoned_at INTEGER",
  "ALTER TABLE machines ADD COLUMN gone_at INTEGER",
  "ALTER TABLE machines ADD COLUMN uncordoned_at INTEGER",
  // Of its last register, so that one whose token was revoked can be told from one that is switched off.
  "ALTER TABLE machines ADD COLUMN token_id TEXT",
  // Whoever has stopped in order is not searched for as if it had vanished.
  "ALTER TABLE machines ADD COLUMN left_at INTEGER",
  // What operators asked for and what came of it; without a status as long as nobody knows.
  `CREATE TABLE audit (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, request_id TEXT, token_id TEXT, token_name TEXT, address TEXT,
    method TEXT NOT NULL, path TEXT NOT NULL, status INTEGER, code TEXT, before_json TEXT, after_json TEXT)`,
  // Checked before every change, since KV may hand out a deleted token for a minute.
  `CREATE TABLE revoked_admin_tokens (
    token_id TEXT PRIMARY KEY, revoked_at INTEGER NOT NULL) WITHOUT ROWID`,
  // Pools that may have the machine on record as theirs, as a JSON array; null in what an earlier version has written.
  "ALTER TABLE intents ADD COLUMN holders TEXT",
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
