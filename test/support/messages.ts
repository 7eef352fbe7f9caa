import { messagesToChat, messagesRequestSchema } from "../../worker/anthropic/messages-request.ts";
import { MessagesTranslator } from "../../worker/anthropic/messages-translator.ts";
import { validate } from "../../worker/validate.ts";
import { apiErrorOf } from "./translation.ts";

/** Requests of the Messages API, and the chats that they become. */

export const ASK = { max_tokens: 9, messages: [{ role: "user" as const, content: "hi" }] };

/** What requests consist of, and what calls are in a chat. */
export const user = (...content: object[]) => ({ role: "user", content });
export const assistant = (...content: object[]) => ({ role: "assistant", content });
export const text = (said: string) => ({ type: "text", text: said, cache_control: { type: "ephemeral" } });
export const toolUse = (id: string, name: string, input: object = {}) => ({
  type: "tool_use",
  id,
  name,
  input,
});
export const toolResult = (id: string, fields: object = {}) => ({
  type: "tool_result",
  tool_use_id: id,
  ...fields,
});
export const called = (id: string, name: string, args = "{}") => ({
  id,
  type: "function",
  function: { name, arguments: args },
});

/** The chat that a request becomes, as a machine is sent it. */
export function chatOf(fields: object): Record<string, unknown> {
  const request = validate(messagesRequestSchema, { model: "m", ...ASK, ...fields });
  return JSON.parse(JSON.stringify(messagesToChat(request))) as Record<string, unknown>;
}

/** What is said of a request that becomes none. */
export function refusalOf(fields: object): object {
  return apiErrorOf(() => chatOf(fields));
}

export function translatorOf(fields: object): MessagesTranslator {
  const told = { id: "1", requestId: "req_1", promptTokens: 4 };
  return new MessagesTranslator({ model: "m", ...ASK, ...fields }, told);
}
