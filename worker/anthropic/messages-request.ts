import { z } from "zod";

import type { HttpError } from "../http-error.ts";
import { ChatMessages, IMAGE_LEFT_OUT } from "../openai/chat-messages.ts";
import { toChatName } from "../openai/chat-names.ts";
import { invalid, unsupported } from "../openai/field-refusals.ts";
import { samplingOf } from "../openai/sampling.ts";
import { toChatTools, toolChoiceSchema, toolsSchema } from "./message-tools.ts";

/**
 * A request of the Messages API, and the chat request that asks the same of a machine. What only Anthropic's servers can
 * do is refused where the answer would lack it, and ignored where it is about their caches, prices or places.
 */

/** A part of what a tool has given: text, or the name of another tool. */
const partSchema = z.looseObject({
  type: z.string(),
  text: z.string().optional(),
  tool_name: z.string().optional(),
});
type Part = z.infer<typeof partSchema>;

const blockSchema = partSchema.extend({
  id: z.string().optional(),
  name: z.string().optional(),
  input: z.unknown().optional(),
  tool_use_id: z.string().optional(),
  content: z.union([z.string(), z.array(partSchema)]).nullish(),
  is_error: z.boolean().nullish(),
});
type Block = z.infer<typeof blockSchema>;

const messageSchema = z.looseObject({
  role: z.enum(["user", "assistant", "system"]),
  content: z.union([z.string(), z.array(blockSchema)]),
});
type Message = z.infer<typeof messageSchema>;

const formatSchema = z.looseObject({ type: z.literal("json_schema"), schema: z.unknown() });

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
  stop_sequences: z.array(z.string()).max(4).nullish(),
  thinking: z.looseObject({ type: z.string(), display: z.string().nullish() }).nullish(),
  output_config: z.looseObject({ effort: z.string().nullish(), format: formatSchema.nullish() }).nullish(),
  /** What came before `output_config.format`. */
  output_format: formatSchema.nullish(),
  mcp_servers: z.array(z.unknown()).nullish(),
});

export const messagesRequestSchema = countRequestSchema.extend({ max_tokens: z.int().min(1) });

export type MessagesRequest = z.infer<typeof countRequestSchema>;

/** @throws HttpError 400 that names what cannot be done in `param` */
export function messagesToChat(request: MessagesRequest): object {
  if ((request.mcp_servers ?? []).length > 0)
    throw unsupported("mcp_servers", "they are not called from here");
  if (request["container"] != null) throw unsupported("container", "there are no containers here");
  const format = request.output_config?.format ?? request.output_format;
  return {
    model: request.model,
    messages: toMessages(request),
    stream: request.stream ?? false,
    stream_options: request.stream === true ? { include_usage: true } : undefined,
    max_completion_tokens: request.max_tokens,
    temperature: request.temperature ?? undefined,
    top_p: request.top_p ?? undefined,
    reasoning_effort: toEffort(request),
    response_format: format == null ? undefined : toResponseFormat(format),
    ...toChatTools(request, toolsFound(request)),
    ...samplingOf(request),
    stop: request.stop_sequences ?? undefined,
  };
}

function toEffort({ thinking, output_config: output }: MessagesRequest): string | undefined {
  if (thinking?.type === "disabled") return "none";
  const effort = output?.effort ?? undefined;
  // Chats know nothing above.
  return effort === "xhigh" || effort === "max" ? "high" : effort;
}

function toResponseFormat({ schema }: z.infer<typeof formatSchema>): object {
  return { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };
}

function toMessages({ system, messages }: MessagesRequest): object[] {
  const chat = new ChatMessages();
  const instructions = system == null ? "" : withoutBilling(textOf(system, "system"));
  if (instructions !== "") chat.say("system", instructions);
  for (const [index, message] of messages.entries()) addMessage(chat, message, `messages[${index}]`);
  if (messages.at(-1)?.role === "assistant") {
    throw unsupported("messages", "an answer cannot be continued; the last message must be the user's");
  }
  return chat.list;
}

/**
 * Claude Code begins its instructions with a line for Anthropic's accounts that is another one each time. With it no
 * machine would ever find a prompt that it has read before.
 */
function withoutBilling(text: string): string {
  return text.replace(/^x-anthropic-billing-header:[^\n]*\n?/, "");
}

/** Results come first: chat wants them right behind the calls. */
function addMessage(chat: ChatMessages, { role, content }: Message, param: string): void {
  if (typeof content === "string") {
    chat.say(role, content);
    return;
  }
  const blocks = content.map((block, index) => ({ block, at: `${param}.content[${index}]` }));
  const ofType = (type: string) => blocks.filter(({ block }) => block.type === type);
  const strange = blocks.find(({ block }) => !BLOCKS.has(block.type));
  if (strange !== undefined) throw notSupported(strange.block, strange.at);
  for (const { block, at } of ofType("tool_result")) addResult(chat, block, at);
  const texts = ofType("text").map(({ block, at }) => textOfPart(block, at));
  if (texts.length > 0) chat.say(role, texts.join("\n"));
  for (const { block, at } of ofType("tool_use")) addCall(chat, block, at);
}

/** Thoughts are not told again: chats have no place for them. */
const BLOCKS: ReadonlySet<string> = new Set([
  "text",
  "tool_use",
  "tool_result",
  "thinking",
  "redacted_thinking",
]);

function addCall(chat: ChatMessages, { id, name, input = {} }: Block, at: string): void {
  if (id === undefined) throw invalid(`${at}.id`, "is missing");
  if (name === undefined) throw invalid(`${at}.name`, "is missing");
  chat.call(id, toChatName(name), JSON.stringify(input));
}

function addResult(chat: ChatMessages, { tool_use_id: id, content, is_error }: Block, at: string): void {
  if (id === undefined) throw invalid(`${at}.tool_use_id`, "is missing");
  if (!chat.hasCall(id)) throw invalid(`${at}.tool_use_id`, "no call before it has this id");
  const text = textOf(typeof content === "string" ? content : (content ?? []).map(inWords), `${at}.content`);
  // Chats have no field for it.
  chat.answer(id, is_error === true ? `Error: ${text}` : text);
}

/** What a tool has given as text, where words can stand for it. */
function inWords(part: Part): Part {
  switch (part.type) {
    case "tool_reference":
      // The tool itself is shown among the others.
      return { type: "text", text: part.tool_name };
    case "image":
      return { type: "text", text: IMAGE_LEFT_OUT };
    default:
      return part;
  }
}

/** Names of the tools that a search has found in the conversation. */
function toolsFound({ messages }: MessagesRequest): ReadonlySet<string> {
  const blocks = messages.flatMap(({ content }) => (typeof content === "string" ? [] : content));
  const parts = blocks.flatMap(({ content }) =>
    content == null || typeof content === "string" ? [] : content,
  );
  return new Set(
    parts.flatMap(({ type, tool_name }) => (type === "tool_reference" ? (tool_name ?? []) : [])),
  );
}

function textOf(content: string | readonly Part[], param: string): string {
  if (typeof content === "string") return content;
  return content.map((part, index) => textOfPart(part, `${param}[${index}]`)).join("\n");
}

function textOfPart(part: Part, at: string): string {
  if (part.type !== "text") throw notSupported(part, at);
  if (part.text === undefined) throw invalid(`${at}.text`, "is missing");
  return part.text;
}

function notSupported({ type }: Part, at: string): HttpError {
  return unsupported(`${at}.type`, `${type} is not supported, only text`);
}

/** Whether the answer is to show what the model thought; clients that do not ask often look for text first. */
export function asksForThoughts({ thinking }: MessagesRequest): boolean {
  return thinking != null && thinking.type !== "disabled" && thinking.display !== "omitted";
}
