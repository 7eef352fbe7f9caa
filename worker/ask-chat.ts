import { prefixOf } from "../core/prefix.ts";
import { CHAT_ENDPOINT } from "../protocol/endpoints.ts";
import { askPool } from "./ask-pool.ts";
import type { AppContext } from "./context.ts";
import { HttpError } from "./http-error.ts";
import { chatRequestSchema, checkChatRequest, isPlainChatRequest } from "./openai/chat-request.ts";
import { validate } from "./validate.ts";

/** Asks what another API's request was made into; fields without a value are left out. */
export function askTranslated(context: AppContext, chat: object): Promise<Response> {
  const text = JSON.stringify(chat);
  return askChat(context, JSON.parse(text), text);
}

/**
 * Checks a chat request and sends it to its pool.
 * @param text the request as it goes on: as the client wrote it, if it is a chat request itself.
 * @throws HttpError
 */
export async function askChat(context: AppContext, json: unknown, text: string): Promise<Response> {
  const request = isPlainChatRequest(json) ? json : validate(chatRequestSchema, json);
  const problem = checkChatRequest(request);
  if (problem !== null) throw new HttpError({ code: "invalid_request", ...problem });
  return askPool(context, {
    endpoint: CHAT_ENDPOINT,
    model: request.model,
    text,
    prefix: prefixOf(request),
    stream: request.stream === true,
    answerTokens: request.max_completion_tokens ?? request.max_tokens ?? null,
    mostTokens: (contextLength) => contextLength,
  });
}
