import { z } from "zod";

import { type FieldNames, type FieldOf, renameField } from "../openai/chat-fields.ts";
import { toChatEffort } from "../openai/effort.ts";
import { unsupported } from "../openai/field-refusals.ts";
import { samplingOf } from "../openai/sampling.ts";
import { fallbackFields, namesOfFallbacks } from "./message-fallbacks.ts";
import { offeredTools, toChatTools, toolChoiceSchema, toolsSchema } from "./message-tools.ts";
import { messageSchema, partSchema, toChatMessages, toolsFound } from "./message-turns.ts";

/**
 * A request of the Messages API, and the chat request that asks the same of a machine. What only Anthropic's servers can
 * do is refused where the answer would lack it, and ignored where it is about their caches, prices or places.
 */

const formatSchema = z.looseObject({ type: z.literal("json_schema"), schema: z.looseObject({}) });

/** Beside these a request may have any other field, to no effect. */
export const countRequestSchema = z.looseObject({
  model: z.string().min(1),
  messages: z.array(messageSchema).min(1),
  system: z.union([z.string(), z.array(partSchema)]).nullish(),
  tools: toolsSchema.nullish(),
  tool_choice: toolChoiceSchema.nullish(),
  max_tokens: z.int().min(1).optional(),
  stream: z.boolean().nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  stop_sequences: z.array(z.string().min(1)).max(4).nullish(),
  thinking: z.looseObject({ type: z.string(), display: z.string().nullish() }).nullish(),
  output_config: z.looseObject({ effort: z.string().nullish(), format: formatSchema.nullish() }).nullish(),
  /** What came before `output_config.format`. */
  output_format: formatSchema.nullish(),
  mcp_servers: z.array(z.unknown()).nullish(),
});

export const messagesRequestSchema = countRequestSchema.extend({
  max_tokens: z.int().min(1),
  ...fallbackFields,
});

export type MessagesRequest = z.infer<typeof countRequestSchema>;

const NOT_HERE = [
  ["container", "there are no containers here"],
  ["thread", "nothing is kept between requests; send it all"],
  ["compaction", "conversations are not summarized here; ask for a summary in words"],
] as const;

/** @throws HttpError 400 that names what cannot be done in `param` */
export function messagesToChat(request: MessagesRequest): object {
  if ((request.mcp_servers ?? []).length > 0)
    throw unsupported("mcp_servers", "they are not called from here");
  for (const [param, why] of NOT_HERE) if (request[param] != null) throw unsupported(param, why);
  const format = request.output_config?.format ?? request.output_format;
  return {
    model: request.model,
    messages: toChatMessages(request),
    stream: request.stream ?? false,
    stream_options: request.stream === true ? { include_usage: true } : undefined,
    max_completion_tokens: request.max_tokens,
    temperature: request.temperature ?? undefined,
    top_p: request.top_p ?? undefined,
    reasoning_effort: toEffort(request),
    response_format: format == null ? undefined : toResponseFormat(format),
    ...toChatTools(request, offeredTools(request, toolsFound(request))),
    ...samplingOf(request),
    stop: request.stop_sequences ?? undefined,
  };
}

/** What the request calls a field of its chat. The request itself is not kept for it: it may have megabytes. */
export function chatFieldOf(request: z.infer<typeof messagesRequestSchema>): FieldOf {
  const format = request.output_config?.format == null ? "output_format" : "output_config.format";
  const tools = offeredTools(request, toolsFound(request)).flatMap(({ at }, index) => [
    [`tools[${index}].function.parameters`, `${at}.input_schema`] as const,
    [`tools[${index}].function`, at] as const,
    [`tools[${index}]`, at] as const,
  ]);
  const names: FieldNames = [
    ...tools,
    ...namesOfFallbacks(request),
    ["max_completion_tokens", "max_tokens"],
    ["stop", "stop_sequences"],
    ["reasoning_effort", "output_config.effort"],
    ["response_format.json_schema", format],
    ["response_format", format],
  ];
  // Its messages are turns here, in other places.
  return (field) => (field.startsWith("messages[") ? "messages" : renameField(field, names));
}

function toEffort({ thinking, output_config: output }: MessagesRequest): string | undefined {
  return thinking?.type === "disabled" ? "none" : toChatEffort(output?.effort);
}

function toResponseFormat({ schema }: z.infer<typeof formatSchema>): object {
  return { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };
}

/** Whether the answer is to show what the model thought; clients that do not ask often look for text first. */
export function asksForThoughts({ thinking }: MessagesRequest): boolean {
  return thinking != null && thinking.type !== "disabled" && thinking.display !== "omitted";
}
