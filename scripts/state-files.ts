import { readFileSync, renameSync, writeFileSync } from "node:fs";

/** Files of the state folder, which may be missing or damaged. */

/** Null if it cannot be read. */
export function readIfPresent(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** Null for what is no JSON, which no schema takes. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Writes JSON that only its owner may read. A reader sees the old file or the new one, never half of it. */
export function writePrivately(path: string, value: object): void {
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, path);
}
