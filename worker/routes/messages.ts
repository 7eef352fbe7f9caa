import { Hono } from "hono";

import { fallbacksOf } from "../anthropic/message-fallbacks.ts";
import {
  chatFieldOf,
  countRequestSchema,
  messagesRequestSchema,
  messagesToChat,
} from "../anthropic/messages-request.ts";
import { MessagesTranslator } from "../anthropic/messages-translator.ts";
import { askTranslated, checkTranslated, type Translation } from "../ask-chat.ts";
import { requireKeyOfEitherHeader } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import { requireModel } from "../catalog.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { estimateTokens } from "../openai/token-count.ts";
import { validate } from "../validate.ts";

/** `POST /v1/messages`, Anthropic's API, as a chat there and back; and what is told of a request without asking it. */
export const messages = new Hono<AppEnv>()
  .post("/", requireKeyOfEitherHeader, async (context) => askTranslated(context, await readMessages(context)))
  .post("/count_tokens", requireKeyOfEitherHeader, async (context) => {
    const { json } = await readJsonBody(context.req.raw);
    const request = validate(countRequestSchema, json);
    const chat = JSON.stringify(messagesToChat(request));
    await requireModel(context.env, request.model);
    return context.json({ input_tokens: estimateTokens(chat) });
  });

async function readMessages(context: AppContext): Promise<Translation> {
  const { json } = await readJsonBody(context.req.raw);
  const request = validate(messagesRequestSchema, json);
  const fieldOf = chatFieldOf(request);
  const question = checkTranslated(messagesToChat(request), fieldOf);
  const translator = new MessagesTranslator(request, {
    id: context.get("requestId").replace(/^req_/, ""),
    requestId: context.get("echoedId"),
    promptTokens: estimateTokens(question.text),
  });
  return { question, models: fallbacksOf(request), fieldOf, translator };
}
