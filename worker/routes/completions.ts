import { Hono } from "hono";

import { askTranslated } from "../ask-chat.ts";
import { requireApiKey } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import type { AppEnv } from "../context.ts";
import { chatFieldOf, completionRequestSchema, completionToChat } from "../openai/completion-request.ts";
import { completionTranslator } from "../openai/completion-translator.ts";
import { translateAnswer } from "../openai/translate-answer.ts";
import { validate } from "../validate.ts";

/** `POST /v1/completions`, the legacy text API: a chat with one message, there and back. */
export const completions = new Hono<AppEnv>().post("/", requireApiKey, async (context) => {
  const { json } = await readJsonBody(context.req.raw);
  const request = validate(completionRequestSchema, json);
  const chat = JSON.stringify(completionToChat(request));
  const answer = await askTranslated(context, chat, chatFieldOf);
  const id = context.get("requestId");
  return translateAnswer(answer, completionTranslator(id, Math.floor(Date.now() / 1000), request.model));
});
