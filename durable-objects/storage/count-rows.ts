import type { Tokens } from "../../core/pool/usage.ts";

/** Rows of counts that add up, as pools keep them. */

type Counts = Readonly<Record<string, number>>;

/** Columns of answered requests. */
export type WorkColumns = {
  requests: number;
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
};

interface Work extends Tokens {
  readonly requests: number;
}

export function workColumns({ requests, promptTokens, completionTokens, cachedTokens }: Work): WorkColumns {
  return {
    requests,
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    cached_tokens: cachedTokens,
  };
}

export function workOf(row: WorkColumns): Work {
  return {
    requests: row.requests,
    promptTokens: row.prompt_tokens,
    completionTokens: row.completion_tokens,
    cachedTokens: row.cached_tokens,
  };
}

/** Adds counts to those of the row with the same primary key, or makes the row. */
export function addCounts(
  sql: SqlStorage,
  table: string,
  key: Readonly<Record<string, SqlStorageValue>>,
  counts: Counts,
): void {
  const columns = [...Object.keys(key), ...Object.keys(counts)];
  const marks = columns.map(() => "?");
  const sums = Object.keys(counts).map((column) => `${column} = ${column} + excluded.${column}`);
  sql.exec(
    `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${marks.join(", ")})
     ON CONFLICT DO UPDATE SET ${sums.join(", ")}`,
    ...Object.values(key),
    ...Object.values(counts),
  );
}
