import type { z } from "zod";

/**
 * What is wrong with a field, in words for the person who wrote it. Given to every parse of what operators and clients
 * send: the schema library would say of a forgotten field only that it has received "undefined".
 */
export const fieldProblems: z.core.$ZodErrorMap = function fieldProblems(issue) {
  if (issue.code === "unrecognized_keys") return "there is no such field";
  return issue.input === undefined ? "is required" : undefined;
};

/** Where an issue is. Of a field that does not exist it is the field, and not the object around it. */
export function pathOf(issue: z.core.$ZodIssue): readonly PropertyKey[] {
  return issue.code === "unrecognized_keys" ? [...issue.path, ...issue.keys.slice(0, 1)] : issue.path;
}
