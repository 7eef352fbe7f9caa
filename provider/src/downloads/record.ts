import { readFileSync, rmSync } from "node:fs";

import { z } from "zod";

import { writeFileAtomically } from "../state/files.ts";
import type { Origin } from "./request.ts";

/** JSON files next to a model file: the origin of a partial download, and the hash of a complete file. */

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);
const originSchema = z.object({
  size_bytes: z.int().nonnegative().nullable(),
  sha256: sha256Schema.nullable(),
  validator: z.string().nullable(),
});
const wholeSchema = z.object({ size_bytes: z.int(), sha256: sha256Schema });

/** The origin of a partial download; null if there is no valid record. */
export function readOrigin(part: string): Origin | null {
  const parsed = originSchema.safeParse(readJson(`${part}.json`));
  if (!parsed.success) return null;
  const { size_bytes, sha256, validator } = parsed.data;
  return { sizeBytes: size_bytes, sha256, validator };
}

/** @throws UserError */
export function writeOrigin(part: string, { sizeBytes, sha256, validator }: Origin): void {
  writeFileAtomically(
    `${part}.json`,
    `${JSON.stringify({ size_bytes: sizeBytes, sha256, validator }, null, 2)}\n`,
  );
}

export function removeOrigin(part: string): void {
  rmSync(`${part}.json`, { force: true });
}

/** The verified hash of a complete file of this size; null if there is no record. */
export function readHash(file: string, sizeBytes: number): string | null {
  const parsed = wholeSchema.safeParse(readJson(`${file}.json`));
  return parsed.success && parsed.data.size_bytes === sizeBytes ? parsed.data.sha256 : null;
}

/** @throws UserError */
export function writeHash(file: string, sizeBytes: number, sha256: string): void {
  writeFileAtomically(`${file}.json`, `${JSON.stringify({ size_bytes: sizeBytes, sha256 }, null, 2)}\n`);
}

export function removeHash(file: string): void {
  rmSync(`${file}.json`, { force: true });
}

/** An unreadable record counts as none: the file itself is checked then. */
function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}
