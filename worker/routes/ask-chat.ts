import { REQUEST_DEADLINE_MS } from "../../core/limits.ts";
import { requireModel } from "../catalog.ts";
import type { AppContext } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { chatRequestSchema, checkChatRequest, isPlainChatRequest } from "../openai/chat-request.ts";
import { validate } from "../openai/validate.ts";
import { callOwnMachines, readRouteWish, ROUTE_HEADER } from "../owner-routes.ts";
import { callPool } from "../pool-client.ts";

/**
 * The one way from a route to a pool: checks a chat request and sends it.
 * @param text the request as the client wrote it, if it is a chat request itself.
 * @throws HttpError
 */
export async function askChat(
  context: AppContext,
  arrivedAt: number,
  json: unknown,
  text: string = JSON.stringify(json),
): Promise<Response> {
  const request = isPlainChatRequest(json) ? json : validate(chatRequestSchema, json);
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
    arrivedAt,
    deadlineAt: arrivedAt + REQUEST_DEADLINE_MS,
  };
  if (wish === "public") return callPool(context.env, model.id, call, text);
  return callOwnMachines(context.env, owner, wish, call, text);
}
