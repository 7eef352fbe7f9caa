import { z } from "zod";

import type { HttpError } from "../http-error.ts";
import { ChatMessages, IMAGE_LEFT_OUT } from "../openai/chat-messages.ts";
import { toChatName } from "../openai/chat-names.ts";
import { invalid, unsupported } from "../openai/field-refusals.ts";

/**
 * The conversation of a Messages request, and the messages of the chat that asks the same. Messages of the same role that
 * stand together are one turn, as at Anthropic; all results of a turn's calls are in the next one.
 */

/** A part of what a tool has given: text, or the name of another tool. */
export const partSchema = z.looseObject({
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

export const messageSchema = z.looseObject({
  role: z.enum(["user", "assistant", "system"]),
  content: z.union([z.string(), z.array(blockSchema)]),
});
type Message = z.infer<typeof messageSchema>;

interface Conversation {
  readonly system?: string | readonly Part[] | null | undefined;
  readonly messages: readonly Message[];
}

interface PlacedBlock {
  readonly block: Block;
  /** Where it stands in the request. */
  readonly at: string;
}

interface Turn {
  readonly role: Message["role"];
  readonly blocks: PlacedBlock[];
}

/** @throws HttpError 400 */
export function toChatMessages({ system, messages }: Conversation): object[] {
  // A call without a result is refused below.
  const chat = new ChatMessages(() => true);
  const instructions = system == null ? "" : withoutBilling(textOf(system, "system"));
  if (instructions !== "") chat.say("system", instructions);
  let calls: ReadonlyMap<string, string> = new Map();
  for (const turn of turnsOf(messages)) calls = addTurn(chat, turn, calls);
  if (messages.at(-1)?.role === "assistant") {
    throw unsupported("messages", "an answer cannot be continued; the last message must be the user's");
  }
  return chat.list;
}

/**
 * Claude Code begins its instructions with a line for Anthropic's billing that differs each time. With it no machine would ever
 * have the beginning of a prompt cached.
 */
function withoutBilling(text: string): string {
  return text.replace(/^x-anthropic-billing-header:[^\n]*\n?/, "");
}

function turnsOf(messages: readonly Message[]): Turn[] {
  const turns: Turn[] = [];
  for (const [index, { role, content }] of messages.entries()) {
    const last = turns.at(-1);
    const turn = last?.role === role ? last : { role, blocks: [] };
    if (turn !== last) turns.push(turn);
    const at = `messages[${index}].content`;
    if (typeof content === "string") turn.blocks.push({ block: { type: "text", text: content }, at });
    else for (const [place, block] of content.entries()) turn.blocks.push({ block, at: `${at}[${place}]` });
  }
  return turns;
}

/**
 * Results come first: chat wants them right behind the calls.
 * @param waiting where the calls of the turn before stand, by their ids.
 * @returns the same of this one.
 */
function addTurn(
  chat: ChatMessages,
  { role, blocks }: Turn,
  waiting: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const ofType = (type: string) => blocks.filter(({ block }) => block.type === type);
  for (const { block, at } of blocks) checkType(block, at, role);
  const unanswered = new Map(waiting);
  for (const { block, at } of ofType("tool_result")) addResult(chat, block, at, unanswered);
  for (const at of unanswered.values()) throw invalid(`${at}.id`, "the next message has no result for it");
  const texts = ofType("text").map(({ block, at }) => textOfPart(block, at));
  if (texts.length > 0) chat.say(role, texts.join("\n"));
  const calls = new Map<string, string>();
  for (const { block, at } of ofType("tool_use")) addCall(chat, block, at, calls);
  return calls;
}

/**
 * The role that each block belongs to; null: either. Thoughts, and blocks that say where another model took over, are left out
 * of the chat, which has no place for them.
 */
const BLOCKS: ReadonlyMap<string, Message["role"] | null> = new Map([
  ["text", null],
  ["tool_use", "assistant"],
  ["tool_result", "user"],
  ["thinking", "assistant"],
  ["redacted_thinking", "assistant"],
  ["fallback", "assistant"],
]);

function checkType(block: Block, at: string, role: Message["role"]): void {
  const whose = BLOCKS.get(block.type);
  if (whose === undefined) throw notSupported(block, at);
  if (whose !== null && whose !== role) throw invalid(`${at}.type`, `only the ${whose} has a ${block.type}`);
}

function addCall(
  chat: ChatMessages,
  { id, name, input = {} }: Block,
  at: string,
  calls: Map<string, string>,
): void {
  if (id === undefined) throw invalid(`${at}.id`, "is missing");
  if (name === undefined) throw invalid(`${at}.name`, "is missing");
  if (calls.has(id)) throw invalid(`${at}.id`, "another call has the same");
  calls.set(id, at);
  chat.call(id, toChatName(name), JSON.stringify(input));
}

function addResult(
  chat: ChatMessages,
  { tool_use_id: id, content, is_error }: Block,
  at: string,
  unanswered: Map<string, string>,
): void {
  if (id === undefined) throw invalid(`${at}.tool_use_id`, "is missing");
  if (!unanswered.delete(id)) {
    throw invalid(`${at}.tool_use_id`, "no call right before it has this id and waits for a result");
  }
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
export function toolsFound({ messages }: Conversation): ReadonlySet<string> {
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
