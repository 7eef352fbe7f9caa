import { Hono } from "hono";

import { askChat } from "../ask-chat.ts";
import { requireApiKey } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import type { AppEnv } from "../context.ts";

/** `POST /v1/chat/completions`: everything is checked here once, then the client's text goes to the pool as it is. */
export const chatCompletions = new Hono<AppEnv>().post("/", requireApiKey, async (context) => {
  const { text, json } = await readJsonBody(context.req.raw);
  const { response } = await askChat(context, json, text);
  return response;
});
