import { BYTES_PER_TOKEN, REQUEST_DEADLINE_MS } from "../core/limits.ts";
import type { Reservation } from "../core/rate-limit.ts";
import { hashOf } from "../core/text-hash.ts";
import type { EdgeCall } from "../durable-objects/edge-call.ts";
import { requireSendable } from "./body.ts";
import { requireModel } from "./catalog.ts";
import type { AppContext } from "./context.ts";
import { rememberVerdict, refuseAtEdge, sparePool } from "./edge-refusals.ts";
import { callOwnMachines, readRoutePreference, ROUTE_HEADER } from "./owner-routes.ts";
import { callPool, PoolOverloaded } from "./pool-client.ts";
import { giveBack, withinLimits } from "./rate-limit.ts";

/** A validated request on its way to a pool. */
export interface Question {
  readonly endpoint: string;
  /** As the client names it: an id or an alias. */
  readonly model: string;
  /** The JSON that the machine gets. */
  readonly text: string;
  readonly prefix: readonly number[];
  /** What the other turns of its conversation have as well; two at most, the second that of several conversations. */
  readonly cacheKeys: readonly string[];
  readonly stream: boolean;
  /** The client's limit of the answer's length; null if it set none. */
  readonly answerTokens: number | null;
  /** Most tokens, prompt and answer together, that it can use with a model of this context length. */
  readonly mostTokens: (contextLength: number) => number;
}

/**
 * Sends a request to its pool, or to the caller's own machines. All routes go through here.
 * @throws HttpError
 */
export async function askPool(context: AppContext, question: Question): Promise<Response> {
  // Taken after the body was read: time in line raises a request's priority, and uploading slowly must not count as that.
  const arrivedAt = Date.now();
  const { endpoint, text, prefix, cacheKeys, stream, answerTokens, mostTokens } = question;
  requireSendable(text);
  const preference = readRoutePreference(context.req.header(ROUTE_HEADER));
  const model = await requireModel(context.env, question.model);
  const { id: keyId, owner, priority } = context.get("key");
  const callWith = (reservation: Reservation | null): EdgeCall => ({
    requestId: context.get("requestId"),
    echoedId: context.get("echoedId"),
    endpoint,
    model: model.id,
    owner: null,
    prefix,
    cacheKeys: cacheKeys.map((key) => hashOf(`${keyId} ${key}`)),
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
    const refusal = preference === "public" ? refuseAtEdge(context, model.id, promptTokens) : null;
    if (refusal !== null) {
      if (reservation !== null) giveBack(context, reservation);
      return refusal;
    }
    const call = callWith(reservation);
    const asked =
      preference === "public"
        ? callPool(context.env, model.id, call, text)
        : callOwnMachines(context.env, owner, preference, call, text);
    const response = await asked.catch((error: unknown) => {
      if (error instanceof PoolOverloaded && error.pool === model.id)
        sparePool(context, model.id, error.apiError, promptTokens);
      throw error;
    });
    return rememberVerdict(context, model.id, response);
  });
}
