import { Hono } from "hono";

import { REQUEST_DEADLINE_MS } from "../../core/limits.ts";
import { requireApiKey } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import { requireModel } from "../catalog.ts";
import type { AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { chatRequestSchema, checkChatRequest } from "../openai/chat-request.ts";
import { validate } from "../openai/validate.ts";
import { callOwnMachines, readRouteWish, ROUTE_HEADER } from "../owner-routes.ts";
import { callPool } from "../pool-client.ts";

/** `POST /v1/chat/completions`: everything is checked here once, then the client's text goes to the pool as it is. */
export const chatCompletions = new Hono<AppEnv>().post("/", requireApiKey, async (context) => {
  const now = Date.now();
  const { text, json } = await readJsonBody(context.req.raw);
  const request = validate(chatRequestSchema, json);
  const problem = checkChatRequest(request);
  if (problem !== null) throw new HttpError({ code: "invalid_request", ...problem });
  const wish = readRouteWish(context.req.header(ROUTE_HEADER));
  const model = await requireModel(context.env, request.model);
  const { id: keyId, owner } = context.get("key");
  const call = {
    requestId: context.get("requestId"),
    echoedId: context.get("echoedId"),
    endpoint: "/v1/chat/completions",
    model: model.id,
    owner: null,
    stream: request.stream === true,
    keyId,
    slotsPerMachine: model.max_concurrency,
    arrivedAt: now,
    deadlineAt: now + REQUEST_DEADLINE_MS,
  };
  if (wish === "public") return callPool(context.env, model.id, call, text);
  return callOwnMachines(context.env, owner, wish, call, text);
});
