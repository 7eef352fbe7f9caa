import { z } from "zod";

import { type FieldNames, type FieldOf, renameField } from "./chat-fields.ts";
import { ChatMessages, IMAGE_LEFT_OUT } from "./chat-messages.ts";
import { cacheKeySchema, fallbacksSchema, MAX_TOOLS } from "./chat-request.ts";
import { inputToArguments } from "./custom-tool.ts";
import { toChatEffort } from "./effort.ts";
import { invalid, NOT_MODERATED, unsupported } from "./field-refusals.ts";
import { chatNameOf, shownTools, toChatTools, toolChoiceSchema, toolSchema } from "./response-tools.ts";
import { samplingOf } from "./sampling.ts";

/**
 * A request of the Responses API, and the chat request that asks the same of a machine. Nothing is kept between
 * requests: whatever leans on kept state is refused. `store` is taken and answered with false, since SDKs send it
 * by default and nothing can come of it: the routes that would read a stored answer say 404.
 */

const partSchema = z.looseObject({ type: z.string(), text: z.string().nullish() });

const itemSchema = z.looseObject({
  type: z.string().optional(),
  role: z.enum(["system", "developer", "user", "assistant"]).optional(),
  content: z.union([z.string(), z.array(partSchema)]).nullish(),
  call_id: z.string().optional(),
  name: z.string().optional(),
  namespace: z.string().nullish(),
  arguments: z.string().optional(),
  input: z.string().optional(),
  output: z.union([z.string(), z.array(partSchema)]).optional(),
});

const formatSchema = z.looseObject({ type: z.enum(["text", "json_object", "json_schema"]) });

export const responsesRequestSchema = z.looseObject({
  model: z.string().min(1),
  models: fallbacksSchema,
  input: z.union([z.string(), z.array(itemSchema).min(1)]),
  instructions: z.string().nullish(),
  stream: z.boolean().nullish(),
  tools: z.array(toolSchema).max(MAX_TOOLS).nullish(),
  tool_choice: toolChoiceSchema.nullish(),
  text: z.looseObject({ format: formatSchema.nullish() }).nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  reasoning: z.looseObject({ effort: z.string().nullish() }).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  max_tool_calls: z.int().min(1).nullish(),
  prompt_cache_key: cacheKeySchema,
  safety_identifier: z.string().nullish(),
  include: z.array(z.string()).nullish(),
  top_logprobs: z.int().nullish(),
});

export type ResponsesRequest = z.infer<typeof responsesRequestSchema>;
type Item = z.infer<typeof itemSchema>;
type Part = z.infer<typeof partSchema>;

/** @throws HttpError 400 that names what cannot be done in `param` */
export function responsesToChat(request: ResponsesRequest): object {
  for (const param of ["previous_response_id", "conversation", "prompt"] as const) {
    if (request[param] != null) throw unsupported(param, "nothing is kept between requests; send it all");
  }
  if (request["generate"] === false) throw unsupported("generate", "there is nothing to warm up");
  if (request["background"] === true) throw unsupported("background", "answers are not kept");
  if (request["moderation"] != null) throw unsupported("moderation", NOT_MODERATED);
  if ((request.top_logprobs ?? 0) > 0) throw unsupported("top_logprobs", "there are no log probabilities");
  const logprobs = request.include?.indexOf("message.output_text.logprobs") ?? -1;
  if (logprobs >= 0) throw unsupported(`include[${logprobs}]`, "there are no log probabilities");
  const format = request.text?.format;
  return {
    model: request.model,
    messages: toMessages(request),
    stream: request.stream ?? false,
    stream_options: request.stream === true ? { include_usage: true } : undefined,
    max_completion_tokens: request.max_output_tokens ?? undefined,
    temperature: request.temperature ?? undefined,
    top_p: request.top_p ?? undefined,
    reasoning_effort: toChatEffort(request.reasoning?.effort),
    response_format: format == null ? undefined : toResponseFormat(format),
    prompt_cache_key: request.prompt_cache_key ?? undefined,
    ...toChatTools(request),
    ...samplingOf(request),
  };
}

/** What the request calls a field of its chat. The request itself is not kept for it: it may have megabytes. */
export function chatFieldOf(request: ResponsesRequest): FieldOf {
  const tools = shownTools(request).flatMap(({ at, isCustom }, index): FieldNames => [
    ...(isCustom ? [[`tools[${index}].function.parameters.properties.input`, `${at}.format`] as const] : []),
    [`tools[${index}].function`, at],
    [`tools[${index}]`, at],
  ]);
  const names: FieldNames = [
    ...tools,
    ["max_completion_tokens", "max_output_tokens"],
    ["reasoning_effort", "reasoning.effort"],
    ["response_format.json_schema", "text.format"],
    ["response_format", "text.format"],
  ];
  // Which item a message was made of is not kept.
  return (field) => (/^messages\b/.test(field) ? "input" : renameField(field, names));
}

function toMessages({ input, instructions }: ResponsesRequest): object[] {
  const answered = new Set(
    typeof input === "string" ? [] : input.filter(isOutput).map((item) => item.call_id),
  );
  const chat = new ChatMessages((callId) => answered.has(callId));
  if (instructions != null) chat.say("system", instructions);
  if (typeof input === "string") chat.say("user", input);
  else for (const [index, item] of input.entries()) addItem(chat, item, `input[${index}]`);
  return chat.list;
}

function isOutput({ type }: Item): boolean {
  return type === "function_call_output" || type === "custom_tool_call_output";
}

function addItem(chat: ChatMessages, item: Item, param: string): void {
  const { call_id: id } = item;
  switch (item.type ?? "message") {
    case "message":
      if (item.role === undefined) throw invalid(`${param}.role`, "a message needs a role");
      chat.say(item.role, textOf(item.content, `${param}.content`));
      return;
    case "function_call":
    case "custom_tool_call":
      if (id === undefined) throw invalid(`${param}.call_id`, "a call needs its id");
      chat.call(id, chatNameOf(item.namespace, item.name ?? ""), argumentsOf(item));
      return;
    case "function_call_output":
    case "custom_tool_call_output":
      if (id === undefined) throw invalid(`${param}.call_id`, "an output needs its call's id");
      if (!chat.hasCall(id)) throw invalid(`${param}.call_id`, "no call before it has this id");
      chat.answer(id, textOf(inWords(item.output), `${param}.output`));
      return;
    case "reasoning":
      return;
    default:
      throw unsupported(`${param}.type`, `items of type ${item.type} are not supported`);
  }
}

function argumentsOf({ type, arguments: args = "", input = "" }: Item): string {
  return type === "function_call" ? args : inputToArguments(input);
}

/** What a tool has given, with words for its images. */
function inWords(output: Item["output"]): Item["output"] {
  if (!Array.isArray(output)) return output;
  return output.map((part) =>
    part.type === "input_image" ? { type: "input_text", text: IMAGE_LEFT_OUT } : part,
  );
}

function textOf(content: string | Part[] | null | undefined, param: string): string {
  if (content == null) throw invalid(param, "is missing");
  if (typeof content === "string") return content;
  return content
    .map(({ type, text, refusal }, index) => {
      if (["input_text", "output_text", "text"].includes(type) && text != null) return text;
      if (type === "refusal" && typeof refusal === "string") return refusal;
      throw unsupported(`${param}[${index}]`, `parts of type ${type} are not supported, only text`);
    })
    .join("");
}

function toResponseFormat({ type, ...rest }: z.infer<typeof formatSchema>): object {
  return type === "json_schema" ? { type, json_schema: rest } : { type };
}
