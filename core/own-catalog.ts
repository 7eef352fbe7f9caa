import type { z } from "zod";

import { firstProblem } from "../protocol/field-problems.ts";
import { keptEntrySchema, parseKeptCatalog, type ParsedCatalog } from "./catalog.ts";

/**
 * Reads a catalog that the coordinator itself has stored, perhaps a later version of it before a rollback to this one. Unknown
 * fields are dropped, and an entry that is still invalid costs only that model, so that a rollback never removes all
 * models. A catalog that operators wrote by hand is read completely or not at all.
 */
export interface OwnCatalog {
  readonly parsed: ParsedCatalog;
  /** Paths that were dropped, such as `[1].colour`. */
  readonly leftOut: readonly string[];
}

export function readOwnCatalog(json: unknown): OwnCatalog {
  const whole = parseKeptCatalog(json);
  if (whole.ok || !Array.isArray(json)) return { parsed: whole, leftOut: [] };
  const leftOut: string[] = [];
  const entries = json.flatMap((entry: unknown, index) => {
    const problem = keptEntrySchema.safeParse(entry).error;
    if (problem === undefined) return [entry];
    const unknown = unknownFields(problem);
    const known = without(entry, unknown, "");
    const stillWrong = keptEntrySchema.safeParse(known).error;
    leftOut.push(
      ...(stillWrong === undefined
        ? [...unknown].map((path) => `[${index}]${path}`)
        : [`[${index}]: ${firstProblem(stillWrong).param}`]),
    );
    return stillWrong === undefined ? [known] : [];
  });
  // Nothing at all is no catalog that this version could have meant.
  return { parsed: entries.length === 0 ? whole : parseKeptCatalog(entries), leftOut };
}

function unknownFields({ issues }: z.ZodError): ReadonlySet<string> {
  return new Set(
    issues.flatMap((issue) =>
      issue.code === "unrecognized_keys" ? issue.keys.map((key) => pathOf([...issue.path, key])) : [],
    ),
  );
}

function pathOf(path: readonly PropertyKey[]): string {
  return path.map((part) => `.${String(part)}`).join("");
}

/** The value without the fields at these paths. */
function without(value: unknown, paths: ReadonlySet<string>, at: string): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !paths.has(`${at}.${name}`))
      .map(([name, inner]) => [name, without(inner, paths, `${at}.${name}`)]),
  );
}
