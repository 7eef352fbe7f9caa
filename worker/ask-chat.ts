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

/**
 * Another API's request, as far as it is needed while a machine is at work. The request itself must not be kept so long:
 * what is said in it is in the chat, and an isolate has room for 128 MB.
 */
export interface Translation {
  /** JSON. */
  readonly chat: string;
  /** Where else the client would go, in its order. */
  readonly models: readonly string[] | null | undefined;
  /** For what is refused of it. */
  readonly fieldOf: FieldOf;
  readonly translator: Translator;
}

/** Asks what another API's request was made into, and answers in its words. @throws HttpError */
export async function askTranslated(
  context: AppContext,
  { chat, models, fieldOf, translator }: Translation,
): Promise<Response> {
  const { response, model } = await askInFields(context, chat, models ?? [], fieldOf);
  translator.answeredBy(model);
  return translateAnswer(response, translator);
}

async function askInFields(
  context: AppContext,
  chat: string,
  models: readonly string[],
  fieldOf: FieldOf,
): Promise<Answer> {
  try {
    const { response, model } = await askText(context, chat, models);
    return { response: response.status === 400 ? await inClientsFields(response, fieldOf) : response, model };
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    throw new HttpError(renamed(error.apiError, fieldOf));
  }
}

/** On its own, so that nobody holds what was parsed. */
function askText(context: AppContext, chat: string, models: readonly string[]): Promise<Answer> {
  return askChat(context, JSON.parse(chat), chat, models);
}

/**
 * Checks a chat request and sends it to its pool.
 * @param text the request as it goes on: as the client wrote it, if it is a chat request itself.
 * @param models where else to go, if the chat does not say so itself.
 * @throws HttpError
 */
export async function askChat(
  context: AppContext,
  json: unknown,
  text: string,
  models?: readonly string[],
): Promise<Answer> {
  const request = isPlainChatRequest(json) ? json : validate(chatRequestSchema, json);
  const problem = checkChatRequest(request);
  if (problem !== null) throw new HttpError({ code: "invalid_request", ...problem });
  const question: Question = {
    endpoint: CHAT_ENDPOINT,
    model: request.model,
    text,
    prefix: prefixOf(request),
    stream: request.stream === true,
    answerTokens: request.max_completion_tokens ?? request.max_tokens ?? null,
    mostTokens: (contextLength) => contextLength,
  };
  return askInTurn(context, question, models ?? request.models ?? []);
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

/** Messages begin with the field, if they are about one. */
function renamed<Refusal extends { readonly message: string; readonly param?: string | null | undefined }>(
  refusal: Refusal,
  fieldOf: FieldOf,
): Refusal {
  const { param, message } = refusal;
  if (param == null) return refusal;
  const own = fieldOf(param);
  return { ...refusal, param: own, message: message.replace(`${param}: `, () => `${own}: `) };
}
