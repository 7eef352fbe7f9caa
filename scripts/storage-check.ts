import { existsSync, globSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { DatabaseSync } from "node:sqlite";

import { UserError } from "./user-error.ts";

/**
 * Whether the databases of the state folder can be used. A damaged one would make workerd fail in the middle of something,
 * with a stack for an explanation; nothing has been written to it yet.
 */

/** What goes with a database, by the folder it is in below `storage`. */
const CONTENTS: Readonly<Record<string, string>> = {
  "do/poolkeeper-Fleet": "the machines, their orders, the flags and the catalog",
  "do/poolkeeper-ModelPool": "one model's usage and what its pool knows of machines",
  "do/poolkeeper-KeyLimits": "nothing that is not counted anew within a minute",
  kv: "API keys, provider tokens, and the catalog and flags as they are shown",
  cache: "nothing",
};

/**
 * Reads every page of them, and changes nothing.
 * @throws UserError that names those that are damaged, and says what to do.
 */
export function checkStorage(stateDir: string): void {
  const storage = join(stateDir, "storage");
  if (!existsSync(storage)) return;
  const damaged = globSync("**/*.sqlite", { cwd: storage })
    .toSorted()
    .flatMap((file) => {
      const problem = problemOf(join(storage, file));
      return problem === null ? [] : [`  ${join(storage, file)}: ${problem}; it holds ${contentOf(file)}`];
    });
  if (damaged.length === 0) return;
  throw new UserError(
    `The state in ${relative(process.cwd(), stateDir) || "."} is damaged, and was left as it is:\n${damaged.join("\n")}\n` +
      "Put back a copy of the folder, or move each of these files away, together with those beside it that are named " +
      'like it and end in -wal and -shm: what it holds is gone then, and the rest stays. "sqlite3 FILE .recover" may ' +
      'rescue some of it. Another folder is taken with "npm start -- --state DIR".',
  );
}

/** Null if nothing is wrong, or if nothing can be said. */
function problemOf(path: string): string | null {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path, { readOnly: true });
    const found = database.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
    return found === "ok" ? null : (String(found).split("\n").at(-1) ?? null);
  } catch (error) {
    return isDamage(error) ? error.message : null;
  } finally {
    database?.close();
  }
}

const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

function isDamage(error: unknown): error is Error {
  // The lower byte is the error; what is above says more of it.
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

function contentOf(file: string): string {
  const path = file.split(sep).join("/");
  const [, content] = Object.entries(CONTENTS).find(([folder]) => path.startsWith(`${folder}/`)) ?? [];
  return content ?? "something of the coordinator's";
}
