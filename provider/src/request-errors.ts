import type { z } from "zod";

import { fieldProblems, firstProblem } from "../../protocol/field-problems.ts";
import { EngineError } from "./engine.ts";

/**
 * The two ways in which a request can be the caller's fault. Messages name the field, since the error that reaches the
 * client has no other way to tell; they quote keywords and names, never the text of a prompt.
 */

/** The request cannot be understood: a wrong type, a value out of range, messages in an impossible order. */
export function invalidRequest(message: string): EngineError {
  return new EngineError("client", "invalid_request", message);
}

/** @throws EngineError `invalid_request` that names the first field at fault, as in `messages[2].content: why` */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value, { error: fieldProblems });
  if (parsed.success) return parsed.data;
  const { param, message } = firstProblem(parsed.error);
  throw invalidRequest(`${param}: ${message}`);
}

/** The request is well formed but asks for something this engine does not do. */
export function unsupported(message: string): EngineError {
  return new EngineError("client", "unsupported", message);
}

/**
 * One of several texts is too long to be made a vector.
 * @param tokens null if there are too many to count.
 * @param contextTokens the longest text that the model takes.
 */
export function textTooLong(name: string, tokens: number | null, contextTokens: number): EngineError {
  return new EngineError(
    "client",
    "context_length_exceeded",
    `${name}: This model's maximum context length is ${contextTokens} tokens; this text takes ${tokens ?? "far more"}.`,
  );
}

/**
 * @param promptTokens null if there are too many to count.
 * @param contextTokens what fits into a slot, prompt and answer together.
 */
export function contextLengthExceeded(promptTokens: number | null, contextTokens: number): EngineError {
  return new EngineError(
    "client",
    "context_length_exceeded",
    `This model's maximum context length is ${contextTokens} tokens; ` +
      `the messages take ${promptTokens ?? "far more"} and leave no room for an answer.`,
  );
}
