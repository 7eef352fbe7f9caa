import Anthropic from "@anthropic-ai/sdk";

import { messagesToChat, messagesRequestSchema } from "../../worker/anthropic/messages-request.ts";
import { MessagesTranslator } from "../../worker/anthropic/messages-translator.ts";
import { validate } from "../../worker/validate.ts";
import type { FakeProvider, Message } from "./fake-provider.ts";
import { edge, type Scene } from "./scene.ts";
import { apiErrorOf, translatedBy } from "./translation-scene.ts";

/** Chats that become messages, and the official client that reads them. */

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

export function clientOf(at: Scene, options: object = {}): Anthropic {
  return new Anthropic({
    apiKey: at.apiKey,
    baseURL: "http://edge",
    maxRetries: 0,
    fetch: (input, init) => edge(new Request(input, init)),
    ...options,
  });
}

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

/** The events of a message. @param broken what the pool's stream ends with, if not cleanly. */
export function streamed(
  pieces: readonly Uint8Array[],
  { fields = {}, broken }: { fields?: object; broken?: Error } = {},
): Promise<string> {
  const translator = translatorOf(fields);
  return translatedBy(translator, pieces, broken);
}

/** What a machine says in answer to a chat that is not streamed. */
export function complete(
  machine: FakeProvider,
  request: Message,
  message: object,
  fields: object = {},
): void {
  const choices = [
    { index: 0, message: { role: "assistant", ...message }, finish_reason: "stop", ...fields },
  ];
  const usage = {
    prompt_tokens: 7,
    completion_tokens: 3,
    total_tokens: 10,
    prompt_tokens_details: { cached_tokens: 5 },
  };
  machine.answer(request, JSON.stringify({ choices, usage }));
}
