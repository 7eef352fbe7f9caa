import { BYTES_PER_TOKEN, REQUEST_DEADLINE_MS } from "../core/limits.ts";
import { prefixOf } from "../core/prefix.ts";
import type { Reservation } from "../core/rate-limit.ts";
import type { EdgeCall } from "../durable-objects/edge-call.ts";
import { requireModel } from "./catalog.ts";
import type { AppContext } from "./context.ts";
import { heedVerdict, refuseAtEdge } from "./edge-refusals.ts";
import { HttpError } from "./http-error.ts";
import { chatRequestSchema, checkChatRequest, isPlainChatRequest } from "./openai/chat-request.ts";
import { callOwnMachines, readRouteWish, ROUTE_HEADER } from "./owner-routes.ts";
import { callPool } from "./pool-client.ts";
import { giveBack, withinLimits } from "./rate-limit.ts";
import { validate } from "./validate.ts";

/** Asks what another API's request was made into; fields without a value are left out. */
export function askTranslated(context: AppContext, chat: object): Promise<Response> {
  const text = JSON.stringify(chat);
  return askChat(context, JSON.parse(text), text);
}

/**
 * The one way from a route to a pool: checks a chat request and sends it.
 * @param text the request as it goes on: as the client wrote it, if it is a chat request itself.
 * @throws HttpError
 */
export async function askChat(context: AppContext, json: unknown, text: string): Promise<Response> {
  // Now that its body is here: waiting makes up for a low priority, and whoever sends his body slowly must not wait so.
  const arrivedAt = Date.now();
  const request = isPlainChatRequest(json) ? json : validate(chatRequestSchema, json);
  const problem = checkChatRequest(request);
  if (problem !== null) throw new HttpError({ code: "invalid_request", ...problem });
  const wish = readRouteWish(context.req.header(ROUTE_HEADER));
  const model = await requireModel(context.env, request.model);
  const { id: keyId, owner, priority } = context.get("key");
  const callWith = (reservation: Reservation | null): EdgeCall => ({
    requestId: context.get("requestId"),
    echoedId: context.get("echoedId"),
    endpoint: "/v1/chat/completions",
    model: model.id,
    owner: null,
    prefix: prefixOf(request),
    stream: request.stream === true,
    keyId,
    reservation,
    priority,
    slotsPerMachine: model.max_concurrency,
    contextLength: model.context_length,
    arrivedAt,
    deadlineAt: arrivedAt + REQUEST_DEADLINE_MS,
  });
  const question = {
    promptTokens: Math.ceil(text.length / BYTES_PER_TOKEN),
    answerTokens: request.max_completion_tokens ?? request.max_tokens ?? null,
  };
  return withinLimits(context, question, async (reservation) => {
    const refusal = wish === "public" ? refuseAtEdge(context, model.id, question.promptTokens) : null;
    if (refusal !== null) {
      if (reservation !== null) giveBack(context, reservation);
      return refusal;
    }
    const call = callWith(reservation);
    const response =
      wish === "public"
        ? await callPool(context.env, model.id, call, text)
        : await callOwnMachines(context.env, owner, wish, call, text);
    return heedVerdict(context, model.id, response);
  });
}
