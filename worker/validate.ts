import type { z } from "zod";

import { fieldProblems, firstProblem } from "../protocol/field-problems.ts";
import { HttpError } from "./http-error.ts";

/**
 * Checks a body or query parameters against a schema.
 * @throws HttpError 400 that names the first invalid field in `param`, such as `messages[0].role`
 */
export function validate<T>(schema: z.ZodType<T>, json: unknown): T {
  const parsed = schema.safeParse(json, { error: fieldProblems });
  if (parsed.success) return parsed.data;
  const { param, message } = firstProblem(parsed.error);
  throw new HttpError({
    code: "invalid_request",
    param: param === "" ? undefined : param,
    message: `${param === "" ? "the body" : param}: ${message}`,
  });
}
