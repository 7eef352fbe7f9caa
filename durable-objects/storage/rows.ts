import { z } from "zod";

import { firstProblem } from "../../protocol/field-problems.ts";
import { logWarning } from "../log.ts";

/**
 * Rows as a version of this code may find them after a step back: a later one may have added columns, and words that this
 * one has never heard of.
 */

/**
 * What rows say. One that this version does not understand costs that row alone, never the object, and is logged.
 * @param read throws if it does not understand the row.
 * @param instead the safest that such a row can mean; null if it is better left out.
 */
export function understood<Row, T>(
  table: string,
  rows: readonly Row[],
  read: (row: Row) => T,
  instead: (row: Row) => T | null = () => null,
): T[] {
  const known: T[] = [];
  const problems: unknown[] = [];
  for (const row of rows) {
    try {
      known.push(read(row));
    } catch (problem) {
      problems.push(problem);
      const safest = instead(row);
      if (safest !== null) known.push(safest);
    }
  }
  if (problems.length > 0) {
    const first = wordsOf(problems[0]).slice(0, 200);
    logWarning("rows_not_understood", { table, rows: problems.length, first });
  }
  return known;
}

function wordsOf(problem: unknown): string {
  if (!(problem instanceof z.ZodError)) return String(problem);
  const { param, message } = firstProblem(problem);
  return param === "" ? message : `${param}: ${message}`;
}

/** Null for what is no JSON or does not match. */
export function parseJson<T>(schema: z.ZodType<T>, json: string): T | null {
  try {
    return schema.safeParse(JSON.parse(json)).data ?? null;
  } catch {
    return null;
  }
}

/** Writes a row, in place of the one with its key. Columns are named, so that a table with more of them takes it, too. */
export function putRow(sql: SqlStorage, table: string, row: Readonly<Record<string, SqlStorageValue>>): void {
  const columns = Object.keys(row);
  const marks = columns.map(() => "?");
  sql.exec(
    `INSERT OR REPLACE INTO ${table} (${columns.join(", ")}) VALUES (${marks.join(", ")})`,
    ...Object.values(row),
  );
}
