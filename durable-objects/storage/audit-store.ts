import type { AskedCall, AuditRow, CallOutcome } from "../../core/audit.ts";
import { AUDIT_CHANGES_KEPT, AUDIT_DROPPED_TOGETHER, AUDIT_REFUSALS_KEPT } from "../../core/limits.ts";

/** Which rows are asked for. */
export interface AuditQuery {
  /** None that is older. */
  readonly since: number;
  /** None that came with this one or later; null for the newest. */
  readonly below: number | null;
  readonly limit: number;
  /** What a row must have in it somewhere, in whatever case; empty for all. */
  readonly about: string;
}

/**
 * The log of changes in the fleet's SQLite, and who may not ask for any more. A row is there before its change is made: whatever breaks after that, it says that
 * the change was asked for. What was refused is kept apart from the rest, so that somebody who may change nothing cannot
 * make the log forget what others have changed.
 */
export class SqlAuditStore {
  readonly #sql: SqlStorage;

  /** @param sql of a fleet whose migrations have run. */
  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** @returns the row's id */
  asked(call: AskedCall, now: number): number {
    const { requestId, tokenId, tokenName, address, method, path } = call;
    return this.#sql
      .exec<{ id: number }>(
        `INSERT INTO audit (at, request_id, token_id, token_name, address, method, path)
         VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id`,
        now,
        requestId,
        tokenId,
        tokenName,
        address,
        method,
        path,
      )
      .one().id;
  }

  answered(id: number, { status, code, before, after }: CallOutcome): void {
    this.#sql.exec(
      "UPDATE audit SET status = ?, code = ?, before_json = ?, after_json = ? WHERE id = ?",
      status,
      code,
      before,
      after,
      id,
    );
    // To find the oldest that is kept means to read all that are, so many rows are dropped together.
    if (id % AUDIT_DROPPED_TOGETHER !== 0) return;
    this.#dropAllBut(AUDIT_CHANGES_KEPT, `NOT ${REFUSED}`);
    this.#dropAllBut(AUDIT_REFUSALS_KEPT, REFUSED);
  }

  /** @param kind a condition of SQL. */
  #dropAllBut(kept: number, kind: string): void {
    const newestDropped = this.#sql
      .exec<{ id: number }>(`SELECT id FROM audit WHERE ${kind} ORDER BY id DESC LIMIT 1 OFFSET ?`, kept)
      .toArray()[0];
    if (newestDropped === undefined) return;
    this.#sql.exec(`DELETE FROM audit WHERE id <= ? AND ${kind}`, newestDropped.id);
  }

  /** An admin token that may be found in KV for a while longer. */
  revoke(tokenId: string, now: number): void {
    this.#sql.exec(
      "INSERT OR IGNORE INTO revoked_admin_tokens (token_id, revoked_at) VALUES (?, ?)",
      tokenId,
      now,
    );
  }

  isRevoked(tokenId: string): boolean {
    const found = this.#sql.exec("SELECT 1 FROM revoked_admin_tokens WHERE token_id = ?", tokenId);
    return found.toArray().length > 0;
  }

  /** The newest first. */
  rows({ since, below, limit, about }: AuditQuery): AuditRow[] {
    return this.#sql
      .exec<Row>(
        `SELECT * FROM audit WHERE at >= ? AND id < ? AND instr(lower(${SEARCHED}), lower(?)) > 0
         ORDER BY id DESC LIMIT ?`,
        since,
        below ?? Number.MAX_SAFE_INTEGER,
        about,
        limit,
      )
      .toArray()
      .map(rowOf);
  }
}

/** The same as `outcomeOf` says. What was done, and what nobody knows, is the rest. */
const REFUSED = "(COALESCE(status, 0) BETWEEN 400 AND 499)";

const SEARCHED = [
  "token_id",
  "token_name",
  "request_id",
  "method",
  "path",
  "code",
  "before_json",
  "after_json",
]
  .map((column) => `COALESCE(${column}, '')`)
  .join(" || ' ' || ");

type Row = {
  id: number;
  at: number;
  request_id: string | null;
  token_id: string | null;
  token_name: string | null;
  address: string | null;
  method: string;
  path: string;
  status: number | null;
  code: string | null;
  before_json: string | null;
  after_json: string | null;
};

function rowOf(row: Row): AuditRow {
  return {
    id: row.id,
    at: row.at,
    requestId: row.request_id,
    tokenId: row.token_id,
    tokenName: row.token_name,
    address: row.address,
    method: row.method,
    path: row.path,
    status: row.status,
    code: row.code,
    before: row.before_json,
    after: row.after_json,
  };
}
