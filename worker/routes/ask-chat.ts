import { REQUEST_DEADLINE_MS } from "../../core/limits.ts";
import { requireModel } from "../catalog.ts";
import type { AppContext } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { chatRequestSchema, checkChatRequest } from "../openai/chat-request.ts";
import { validate } from "../openai/validate.ts";
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
  const request = validate(chatRequestSchema, json);
  const problem = checkChatRequest(request);
  if (problem !== null) throw new HttpError({ code: "invalid_request", ...problem });
  const model = await requireModel(context.env, request.model);
  const call = {
    requestId: context.get("requestId"),
    echoedId: context.get("echoedId"),
    endpoint: "/v1/chat/completions",
    stream: request.stream === true,
    keyId: context.get("key").id,
    slotsPerMachine: model.max_concurrency,
    arrivedAt,
    deadlineAt: arrivedAt + REQUEST_DEADLINE_MS,
  };
  return callPool(context.env, model.id, call, text);
}
