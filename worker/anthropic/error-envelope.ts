import { z } from "zod";

import { statusOf } from "../../core/api-error.ts";

/** Errors in Anthropic's envelope, of which SDKs make their own. The code is where they look for one. */

const errorSchema = z.object({
  message: z.string(),
  code: z.string(),
  param: z.string().nullish(),
});

type ErrorFields = z.infer<typeof errorSchema>;

const openaiSchema = z.object({ error: errorSchema });

/** @param openai the same error as JSON in OpenAI's envelope. */
export function toAnthropicError(openai: string, requestId: string): object {
  return anthropicError(openaiSchema.parse(JSON.parse(openai)).error, requestId);
}

export function anthropicError({ message, code, param = null }: ErrorFields, requestId: string): object {
  // By these words clients know that they must shorten the conversation.
  const why = code === "context_length_exceeded" ? `prompt is too long: ${message}` : message;
  const error = { type: typeOf(statusOf(code)), message: why, details: { error_code: code, param } };
  return { type: "error", error, request_id: requestId };
}

function typeOf(status: number): string {
  if (status === 504) return "timeout_error";
  if (status >= 500) return "api_error";
  return TYPES[status] ?? "invalid_request_error";
}

const TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
};
