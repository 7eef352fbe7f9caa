import { z } from "zod";

import { prefixOf } from "../core/prefix.ts";
import { CHAT_ENDPOINT } from "../protocol/endpoints.ts";
import type { Question } from "./ask-pool.ts";
import type { AppContext } from "./context.ts";
import { type Answer, askInTurn } from "./fallbacks.ts";
import { HttpError } from "./http-error.ts";
import type { FieldOf } from "./openai/chat-fields.ts";
import { chatRequestSchema, checkChatRequest, isPlainChatRequest } from "./openai/chat-request.ts";
import { translateAnswer, type Translator } from "./openai/translate-answer.ts";
import { validate } from "./validate.ts";

/** A chat request that has been checked. What was parsed of it is not kept: an isolate has only 128 MB. */
export interface CheckedChat {
  readonly question: Question;
  /** Fallback models, in the client's order. */
  readonly models: readonly string[];
}

/**
 * A request of another API, translated into a chat. The original request is not part of it, so that it can be freed while a
 * machine works.
 */
export interface Translation {
  readonly question: Question;
  /** The client's fallback models, in its order. */
  readonly models: readonly string[] | null | undefined;
  /** Maps a field of the chat to the field of the original request, for error messages. */
  readonly fieldOf: FieldOf;
  readonly translator: Translator;
}

/**
 * Checks a chat request.
 * @param text the request as it is sent to the machine; for a chat request, exactly as the client wrote it.
 * @throws HttpError 400
 */
export function checkChat(json: unknown, text: string): CheckedChat {
  const request = isPlainChatRequest(json) ? json : validate(chatRequestSchema, json);
  checkChatRequest(request);
  const { blocks, conversation } = prefixOf(request);
  const question: Question = {
    endpoint: CHAT_ENDPOINT,
    model: request.model,
    text,
    prefix: blocks,
    cacheKeys: cacheKeysOf(conversation, request.prompt_cache_key ?? null),
    stream: request.stream === true,
    answerTokens: request.max_completion_tokens ?? request.max_tokens ?? null,
    mostTokens: (contextLength) => contextLength,
  };
  return { question, models: request.models ?? [] };
}

/** @param clientsKey which may be that of a whole application, of a user, or of this conversation alone */
function cacheKeysOf(conversation: number | null, clientsKey: string | null): string[] {
  if (conversation === null) return clientsKey === null ? [] : [clientsKey];
  return clientsKey === null ? [`${conversation}`] : [`${conversation} ${clientsKey}`, clientsKey];
}

/** Checks what another API's request became. @throws HttpError 400 that names the fields of that API */
export function checkTranslated(chat: object, fieldOf: FieldOf): Question {
  try {
    return checkChat(chat, JSON.stringify(chat)).question;
  } catch (error) {
    throwRenamed(error, fieldOf);
  }
}

/** Sends a translated request and translates the answer back. @throws HttpError */
export async function askTranslated(
  context: AppContext,
  { question, models, fieldOf, translator }: Translation,
): Promise<Response> {
  const { response, model } = await askInFields(context, question, models ?? [], fieldOf);
  translator.answeredBy(model);
  return translateAnswer(response, translator);
}

async function askInFields(
  context: AppContext,
  question: Question,
  models: readonly string[],
  fieldOf: FieldOf,
): Promise<Answer> {
  try {
    const { response, model } = await askInTurn(context, question, models);
    return { response: response.status === 400 ? await inClientsFields(response, fieldOf) : response, model };
  } catch (error) {
    throwRenamed(error, fieldOf);
  }
}

function throwRenamed(error: unknown, fieldOf: FieldOf): never {
  throw error instanceof HttpError ? new HttpError(renamed(error.apiError, fieldOf)) : error;
}

const refusalSchema = z.object({
  error: z.looseObject({ message: z.string(), param: z.string().nullable() }),
});

async function inClientsFields(response: Response, fieldOf: FieldOf): Promise<Response> {
  const { error } = refusalSchema.parse(await response.json());
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return new Response(JSON.stringify({ error: renamed(error, fieldOf) }), {
    status: response.status,
    headers,
  });
}

/** Puts the client's field in place of the chat's, both in `param` and at the start of the message. */
function renamed<Refusal extends { readonly message: string; readonly param?: string | null | undefined }>(
  refusal: Refusal,
  fieldOf: FieldOf,
): Refusal {
  const { param, message } = refusal;
  if (param == null) return refusal;
  const own = fieldOf(param);
  return { ...refusal, param: own, message: message.replace(`${param}: `, () => `${own}: `) };
}
