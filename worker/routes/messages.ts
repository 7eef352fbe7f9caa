import { Hono } from "hono";

import {
  chatFieldOf,
  countRequestSchema,
  messagesRequestSchema,
  messagesToChat,
} from "../anthropic/messages-request.ts";
import { MessagesTranslator } from "../anthropic/messages-translator.ts";
import { estimateTokens } from "../anthropic/token-count.ts";
import { askTranslated } from "../ask-chat.ts";
import { requireKeyOfEitherHeader } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import { requireModel } from "../catalog.ts";
import type { AppEnv } from "../context.ts";
import { translateAnswer } from "../openai/translate-answer.ts";
import { validate } from "../validate.ts";

/** `POST /v1/messages`, Anthropic's API, as a chat there and back; and what is told of a request without asking it. */
export const messages = new Hono<AppEnv>()
  .post("/", requireKeyOfEitherHeader, async (context) => {
    const { json } = await readJsonBody(context.req.raw);
    const request = validate(messagesRequestSchema, json);
    const chat = JSON.stringify(messagesToChat(request));
    const answer = await askTranslated(context, chat, (field) => chatFieldOf(request, field));
    const translator = new MessagesTranslator(request, {
      id: context.get("requestId").replace(/^req_/, ""),
      requestId: context.get("echoedId"),
      promptTokens: estimateTokens(chat),
    });
    return translateAnswer(answer, translator);
  })
  .post("/count_tokens", requireKeyOfEitherHeader, async (context) => {
    const { json } = await readJsonBody(context.req.raw);
    const request = validate(countRequestSchema, json);
    const chat = JSON.stringify(messagesToChat(request));
    await requireModel(context.env, request.model);
    return context.json({ input_tokens: estimateTokens(chat) });
  });
