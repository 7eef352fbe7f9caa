import Anthropic from "@anthropic-ai/sdk";

import { translatorOf } from "../support/messages.ts";
import type { FakeProvider, Message } from "./fake-provider.ts";
import { edge, type Scene } from "./scene.ts";
import { translatedBy } from "./translation-scene.ts";

/** Chats that become messages, and the official client that reads them. */

export function clientOf(at: Scene, options: object = {}): Anthropic {
  return new Anthropic({
    apiKey: at.apiKey,
    baseURL: "http://edge",
    maxRetries: 0,
    fetch: (input, init) => edge(new Request(input, init)),
    ...options,
  });
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
