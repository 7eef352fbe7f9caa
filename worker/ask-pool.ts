import { BYTES_PER_TOKEN, REQUEST_DEADLINE_MS } from "../core/limits.ts";
import type { Reservation } from "../core/rate-limit.ts";
import type { EdgeCall } from "../durable-objects/edge-call.ts";
import { requireSendable } from "./body.ts";
import { requireModel } from "./catalog.ts";
import type { AppContext } from "./context.ts";
import { heedVerdict, refuseAtEdge, sparePool } from "./edge-refusals.ts";
import { callOwnMachines, readRouteWish, ROUTE_HEADER } from "./owner-routes.ts";
import { callPool, PoolOverloaded } from "./pool-client.ts";
import { giveBack, withinLimits } from "./rate-limit.ts";

/** A request whose fields have been checked. */
export interface Question {
  readonly endpoint: string;
  /** As the client names it: an id or an alias. */
  readonly model: string;
  /** What the machine gets, JSON. */
  readonly text: string;
  readonly prefix: readonly number[];
  readonly stream: boolean;
  /** The longest answer it asks for; null if it does not say. */
  readonly answerTokens: number | null;
  /** Tokens that it can take at most, the answer's included, of a model with this context. */
  readonly mostTokens: (contextLength: number) => number;
}

/**
 * The one way from a route to a pool.
 * @throws HttpError
 */
export async function askPool(context: AppContext, question: Question): Promise<Response> {
  // Now that its body is here: waiting makes up for a low priority, and whoever sends his body slowly must not wait so.
  const arrivedAt = Date.now();
  const { endpoint, text, prefix, stream, answerTokens, mostTokens } = question;
  requireSendable(text);
  const wish = readRouteWish(context.req.header(ROUTE_HEADER));
  const model = await requireModel(context.env, question.model);
  const { id: keyId, owner, priority } = context.get("key");
  const callWith = (reservation: Reservation | null): EdgeCall => ({
    requestId: context.get("requestId"),
    echoedId: context.get("echoedId"),
    endpoint,
    model: model.id,
    owner: null,
    prefix,
    stream,
    keyId,
    reservation,
    priority,
    slotsPerMachine: model.max_concurrency,
    contextLength: mostTokens(model.context_length),
    answerTokens,
    arrivedAt,
    deadlineAt: arrivedAt + REQUEST_DEADLINE_MS,
  });
  const promptTokens = Math.ceil(text.length / BYTES_PER_TOKEN);
  return withinLimits(context, { promptTokens, answerTokens }, async (reservation) => {
    const refusal = wish === "public" ? refuseAtEdge(context, model.id, promptTokens) : null;
    if (refusal !== null) {
      if (reservation !== null) giveBack(context, reservation);
      return refusal;
    }
    const call = callWith(reservation);
    const asked =
      wish === "public"
        ? callPool(context.env, model.id, call, text)
        : callOwnMachines(context.env, owner, wish, call, text);
    const response = await asked.catch((error: unknown) => {
      if (error instanceof PoolOverloaded && error.pool === model.id)
        sparePool(context, model.id, error.apiError, promptTokens);
      throw error;
    });
    return heedVerdict(context, model.id, response);
  });
}
