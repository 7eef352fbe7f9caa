import { RATE_ANSWER_TIMEOUT_MS } from "../core/limits.ts";
import {
  rateLimitHeaders,
  type RateQuestion,
  type RateVerdict,
  type Reservation,
  type Standings,
} from "../core/rate-limit.ts";
import { logWarning } from "../durable-objects/log.ts";
import { settleTokens } from "../durable-objects/settle-tokens.ts";
import { answerWithin } from "./answer-within.ts";
import type { AppContext } from "./context.ts";
import { errorResponse, HttpError } from "./http-error.ts";
import type { KeyRecord } from "./key-records.ts";
import { withHeaders } from "./with-headers.ts";

/**
 * Sends a request if the limits of its key allow it. Keys without limits cost nothing here; for keys with limits, the
 * Durable Object that counts for the key is called, and each response carries the key's remaining limits.
 *
 * If that object cannot be reached, the request goes on uncounted: limits protect machines from overload, and our own
 * outage must not refuse clients.
 * @param send sends the request, with the tokens that are reserved for it.
 */
export async function withinLimits(
  context: AppContext,
  question: RateQuestion,
  send: (reservation: Reservation | null) => Promise<Response>,
): Promise<Response> {
  const key = context.get("key");
  if (key.limits.requestsPerMinute === null && key.limits.tokensPerMinute === null) return send(null);
  const verdict = await ask(context, key, question);
  if (verdict === null) return send(null);
  if (!verdict.admitted) return withStandings(refusal(context, verdict), verdict.standings);
  const { reservation, standings } = verdict;
  try {
    return withStandings(await send(reservation), standings);
  } catch (error) {
    giveBack(context, reservation);
    if (!(error instanceof HttpError)) throw error;
    return withStandings(errorResponse(error.apiError, context.get("echoedId")), standings);
  }
}

/** Releases a reservation of a request that no pool has taken over. */
export function giveBack(context: AppContext, reservation: Reservation): void {
  context.executionCtx.waitUntil(settleTokens(context.env, context.get("key").id, reservation, 0));
}

async function ask(
  { env }: AppContext,
  { id, limits }: KeyRecord,
  question: RateQuestion,
): Promise<RateVerdict | null> {
  try {
    return await answerWithin<RateVerdict>(
      RATE_ANSWER_TIMEOUT_MS,
      env.KEY_LIMITS.getByName(id).admit(limits, question),
    );
  } catch (error) {
    logWarning("key_limits_unreachable", { keyId: id, error: String(error) });
    return null;
  }
}

function refusal(
  context: AppContext,
  { limitedBy, retryAfterMs, standings }: Extract<RateVerdict, { admitted: false }>,
): Response {
  const limit = standings[limitedBy]?.limit ?? 0;
  return errorResponse(
    {
      code: "rate_limited",
      message: `this API key is limited to ${limit} ${limitedBy} per minute; try again later`,
      retryAfterS: retryAfterMs / 1000,
    },
    context.get("echoedId"),
  );
}

function withStandings(response: Response, standings: Standings): Response {
  return withHeaders(response, rateLimitHeaders(standings));
}
