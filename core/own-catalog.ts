import type { z } from "zod";

import { firstProblem } from "../protocol/field-problems.ts";
import { keptEntrySchema, parseKeptCatalog, type ParsedCatalog } from "./catalog.ts";

/**
 * Reads a catalog that the coordinator itself has put in force, perhaps one of a later version before somebody stepped back to
 * this one. Fields that this version does not know are left out, and an entry that says nothing to it even so costs that
 * model alone: a fleet must not lose all its models by a step back. What operators write by hand is read whole or not at all.
 */
export interface OwnCatalog {
  readonly parsed: ParsedCatalog;
  /** What was passed over, such as `[1].colour`. */
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
