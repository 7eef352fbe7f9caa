import { Hono } from "hono";

import { askTranslated, checkTranslated, type Translation } from "../ask-chat.ts";
import { requireApiKey } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { chatFieldOf, completionRequestSchema, completionToChat } from "../openai/completion-request.ts";
import { completionTranslator } from "../openai/completion-translator.ts";
import { validate } from "../validate.ts";

/** `POST /v1/completions`, the legacy text API: a chat with one message, there and back. */
export const completions = new Hono<AppEnv>().post("/", requireApiKey, async (context) =>
  askTranslated(context, await readCompletion(context)),
);

async function readCompletion(context: AppContext): Promise<Translation> {
  const { json } = await readJsonBody(context.req.raw);
  const request = validate(completionRequestSchema, json);
  const createdS = Math.floor(Date.now() / 1000);
  return {
    question: checkTranslated(completionToChat(request), chatFieldOf),
    models: request.models,
    fieldOf: chatFieldOf,
    translator: completionTranslator(context.get("requestId"), createdS, request.model),
  };
}
