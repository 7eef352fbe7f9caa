import { Hono } from "hono";

import { checkChat, type CheckedChat } from "../ask-chat.ts";
import { requireApiKey } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { askInTurn } from "../fallbacks.ts";

/** `POST /v1/chat/completions`: everything is checked here once, then the client's text goes to the pool as it is. */
export const chatCompletions = new Hono<AppEnv>().post("/", requireApiKey, async (context) => {
  const { question, models } = await readChat(context);
  const { response } = await askInTurn(context, question, models);
  return response;
});

/** On its own, so that nobody holds what was parsed while a machine works. */
async function readChat(context: AppContext): Promise<CheckedChat> {
  const { text, json } = await readJsonBody(context.req.raw);
  return checkChat(json, text);
}
