import type { z } from "zod";

import { fieldProblems, pathOf } from "../../core/field-problems.ts";
import { HttpError } from "../http-error.ts";

/**
 * Checks a body against a schema.
 * @throws HttpError 400 that names the first field at fault in `param`, such as `messages[0].role`
 */
export function validate<T>(schema: z.ZodType<T>, json: unknown): T {
  const parsed = schema.safeParse(json, { error: fieldProblems });
  if (parsed.success) return parsed.data;
  const { path, message } = firstIssue(parsed.error.issues);
  const param = path
    .map((part, index) =>
      typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${String(part)}`,
    )
    .join("");
  throw new HttpError({
    code: "invalid_request",
    param: param === "" ? undefined : param,
    message: param === "" ? `the body: ${message}` : `${param}: ${message}`,
  });
}

interface Issue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Of a union's branches the one that got furthest says best what was meant. */
function firstIssue(issues: readonly z.core.$ZodIssue[]): Issue {
  const [issue] = issues;
  if (issue === undefined) return { path: [], message: "not valid" };
  if (issue.code !== "invalid_union") return { path: pathOf(issue), message: issue.message };
  const missing = issue.message === "is required";
  let deepest: Issue = { path: issue.path, message: missing ? issue.message : "has the wrong type" };
  for (const branch of issue.errors) {
    const inner = firstIssue(branch);
    if (inner.path.length > 0 && issue.path.length + inner.path.length > deepest.path.length) {
      deepest = { path: [...issue.path, ...inner.path], message: inner.message };
    }
  }
  return deepest;
}
