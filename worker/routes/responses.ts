import { Hono } from "hono";

import { askTranslated, checkTranslated, type Translation } from "../ask-chat.ts";
import { requireApiKey } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import { requireModel } from "../catalog.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { chatFieldOf, responsesRequestSchema, responsesToChat } from "../openai/responses-request.ts";
import { ResponsesTranslator } from "../openai/responses-translator.ts";
import { estimateTokens } from "../openai/token-count.ts";
import { validate } from "../validate.ts";
import { openResponsesWebSocket } from "./responses-websocket.ts";

/**
 * `POST /v1/responses`, as a chat there and back; and what is told of a request without asking it. Answers are not kept, so
 * there is none to read or to delete.
 */
export const responses = new Hono<AppEnv>()
  .get("/", requireApiKey, openResponsesWebSocket)
  .post("/", requireApiKey, async (context) => askTranslated(context, await readResponses(context)))
  .post("/input_tokens", requireApiKey, async (context) => {
    const { json } = await readJsonBody(context.req.raw);
    const request = validate(responsesRequestSchema, json);
    const chat = JSON.stringify(responsesToChat(request));
    await requireModel(context.env, request.model);
    return context.json({ object: "response.input_tokens", input_tokens: estimateTokens(chat) });
  })
  .post("/compact", requireApiKey, () => {
    throw new HttpError({
      code: "unsupported",
      message: "conversations are not compacted here; send them whole",
    });
  })
  .get("/:id", requireApiKey, notKept)
  .delete("/:id", requireApiKey, notKept);

async function readResponses(context: AppContext): Promise<Translation> {
  const { json } = await readJsonBody(context.req.raw);
  const request = validate(responsesRequestSchema, json);
  const fieldOf = chatFieldOf(request);
  const question = checkTranslated(responsesToChat(request), fieldOf);
  const id = context.get("requestId").replace(/^req_/, "");
  const translator = new ResponsesTranslator(id, request, nowS);
  return { question, models: request.models, fieldOf, translator };
}

function notKept(context: AppContext): never {
  const id = context.req.param("id") ?? "";
  throw new HttpError({ code: "not_found", message: `responses are not stored, so there is no ${id}` });
}

const nowS = (): number => Math.floor(Date.now() / 1000);
