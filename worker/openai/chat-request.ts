import { z } from "zod";

import { CACHE_KEY_CHARS_MAX } from "../../core/limits.ts";
import { invalid, NOT_MODERATED, unsupported } from "./field-refusals.ts";

/**
 * What is checked of a chat completion request. Only what routing needs or what would fail later in a worse place;
 * everything unknown passes through to the engine, and the client's text itself is what the machine gets.
 */

const text = z.string();

const contentPart = z.looseObject({ type: z.string() });

/** Tool and assistant messages may have no content of their own. */
const messageSchema = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
  content: z.union([text, z.array(contentPart), z.null()]).optional(),
});

const TOOL_NAME = /^[A-Za-z0-9_-]{1,64}$/;

const toolSchema = z.looseObject({
  type: z.string(),
  function: z
    .looseObject({
      name: z.string().regex(TOOL_NAME, "must have 1 to 64 characters: letters, digits, _ and -"),
    })
    .optional(),
});

export const MAX_TOOLS = 128;

const MAX_STOPS = 4;

/** Each of them may keep the client waiting in a line. */
export const MAX_FALLBACKS = 3;

/** Where a request may go when its model turns it away: ids or aliases, the next one first. */
export const fallbacksSchema = z.array(z.string().min(1)).max(MAX_FALLBACKS).nullish();

const toolModeSchema = z.enum(["auto", "none", "required"]);

/** By it the turns of a conversation find the machine that has answered the last one. */
export const cacheKeySchema = z.string().max(CACHE_KEY_CHARS_MAX).nullish();

const tokenLimit = z.int().min(1).nullish();

export const chatRequestSchema = z.looseObject({
  model: z.string().min(1),
  models: fallbacksSchema,
  messages: z.array(messageSchema).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  n: z.literal(1, { error: "only n = 1 is supported; send several requests instead" }).nullish(),
  max_tokens: tokenLimit,
  max_completion_tokens: tokenLimit,
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z.union([text, z.array(text).max(MAX_STOPS)]).nullish(),
  tools: z.array(toolSchema).max(MAX_TOOLS).nullish(),
  tool_choice: z
    .union([
      toolModeSchema,
      z.looseObject({ type: z.string(), function: z.looseObject({ name: text }).optional() }),
    ])
    .nullish(),
  response_format: z.looseObject({ type: z.enum(["text", "json_object", "json_schema"]) }).nullish(),
  logprobs: z.literal(false, { error: "logprobs are not supported" }).nullish(),
  prompt_cache_key: cacheKeySchema,
});

export type ChatRequest = z.infer<typeof chatRequestSchema>;

/** What no machine can do, though a chat may ask for it: the answer would lack it. */
const NOT_HERE = [
  ["web_search_options", "nothing is searched for here; let the model call a tool of yours"],
  ["moderation", NOT_MODERATED],
] as const;

/** Rules between fields, and fields that are for others. @throws HttpError 400 */
export function checkChatRequest(request: ChatRequest): void {
  if (request.stream_options != null && request.stream !== true)
    throw invalid("stream_options", "is only allowed with stream: true");
  for (const [param, why] of NOT_HERE) if (request[param] != null) throw unsupported(param, why);
}

/**
 * Whether the schema would pass a body, told by hand in a fraction of the schema's time for what nearly all clients and
 * agents send: texts, tools and plain options. A false says nothing: then the schema must decide, which also knows what is
 * wrong.
 */
export function isPlainChatRequest(json: unknown): json is ChatRequest {
  if (!isObject(json) || json["model"] === undefined || json["messages"] === undefined) return false;
  for (const field in json) {
    const value = json[field];
    const isPlain = PLAIN_FIELDS.get(field);
    if (value !== undefined && (isPlain === undefined ? !isUnchecked(field) : !isPlain(value))) return false;
  }
  return true;
}

const ROLES: ReadonlySet<unknown> = new Set(messageSchema.shape.role.options);
const TOOL_MODES: ReadonlySet<unknown> = new Set(toolModeSchema.options);

const PLAIN_FIELDS: ReadonlyMap<string, (value: unknown) => boolean> = new Map(
  Object.entries({
    model: (value) => isText(value) && value !== "",
    messages: (value) => Array.isArray(value) && value.length > 0 && value.every(isPlainMessage),
    stream: isBoolean,
    stream_options: (value) => isObject(value) && isAbsentOr(isBoolean, value["include_usage"]),
    n: (value) => value === 1,
    max_tokens: isTokenLimit,
    max_completion_tokens: isTokenLimit,
    temperature: (value) => typeof value === "number" && value >= 0 && value <= 2,
    top_p: (value) => typeof value === "number" && value >= 0 && value <= 1,
    seed: Number.isSafeInteger,
    stop: (value) => isText(value) || (isListOf(isText, value) && value.length <= MAX_STOPS),
    tools: (value) => isListOf(isPlainTool, value) && value.length <= MAX_TOOLS,
    tool_choice: (value) => TOOL_MODES.has(value),
    prompt_cache_key: (value) => isText(value) && value.length <= CACHE_KEY_CHARS_MAX,
  }),
);

/** Which the schema does not know, and so lets pass. It leaves out what an object cannot have as a field. */
function isUnchecked(field: string): boolean {
  return !Object.hasOwn(chatRequestSchema.shape, field) && field !== "__proto__";
}

function isPlainMessage(value: unknown): boolean {
  if (!isObject(value) || !ROLES.has(value["role"])) return false;
  const { content } = value;
  return isText(content) || content === null || content === undefined || isListOf(isTyped, content);
}

function isPlainTool(value: unknown): boolean {
  return isTyped(value) && isAbsentOr(isNamed, value["function"]);
}

function isTyped(value: unknown): value is Fields {
  return isObject(value) && isText(value["type"]);
}

function isNamed(value: unknown): boolean {
  return isObject(value) && isText(value["name"]) && TOOL_NAME.test(value["name"]);
}

function isTokenLimit(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}

function isAbsentOr(isPlain: (value: unknown) => boolean, value: unknown): boolean {
  return value === undefined || isPlain(value);
}

function isListOf(isPlain: (value: unknown) => boolean, value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value.every(isPlain);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

type Fields = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
