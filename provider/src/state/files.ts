import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";

import { reasonOf } from "../reason.ts";
import { UserError } from "../user-error.ts";

/** Reading and writing the small files of this machine's directories. Failures are errors that the owner can read. */

/**
 * Writes a file so that a reader, even after a crash, sees either the old contents or the new ones.
 * @throws UserError
 */
export function writeFileAtomically(path: string, text: string, mode = 0o644): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = openSync(temporary, "w", mode);
    try {
      // Not `writeSync`, which may write only a part on a nearly full disk and return the number of bytes.
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new UserError(`Cannot write ${path}: ${reasonOf(cause)}.`, { cause });
  }
}

/** @throws UserError */
export function makeStateDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new UserError(`Cannot make the state directory ${directory}: ${reasonOf(cause)}.`, { cause });
  }
}

/** The contents of a file; null if there is none. @throws UserError if it cannot be read. */
export function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return null;
    throw new UserError(`Cannot read ${path}: ${reasonOf(cause)}.`, { cause });
  }
}

/** Null for text that is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
