import {
  encodeError,
  HOLDS_FOR_HEADER,
  HOLDS_HEADER,
  isApiErrorCode,
  type ApiError,
} from "../core/api-error.ts";
import { EdgeVerdicts, RefusalTally, type Refusal, type RefusalCount } from "../core/edge-verdicts.ts";
import { LONGEST_VERDICT_MS, TALLY_FLUSH_MS, TALLY_RETRY_MS, TALLY_TRIES } from "../core/limits.ts";
import { retryAfterS } from "../core/pool/retry-after.ts";
import type { Env } from "../durable-objects/env.ts";
import { logWarning } from "../durable-objects/log.ts";
import { poolStub } from "../durable-objects/pool-stub.ts";
import type { AppContext } from "./context.ts";

/** Verdicts of pools that this isolate may repeat for a moment, and a count of the requests it refused by them. */

const verdicts = new EdgeVerdicts();
const tally = new RefusalTally();

/** Refuses by a current verdict and counts that; null if the pool has to be asked. */
export function refuseAtEdge(context: AppContext, model: string, promptTokens: number): Response | null {
  const { id: keyId } = context.get("key");
  const now = Date.now();
  const refusal = verdicts.find(model, keyId, now);
  if (refusal === null || tally.isFull) return null;
  tally.add(model, { code: refusal.code, keyId, requests: 1, promptTokens });
  flushSoon(context, now);
  return encode(refusal, context.get("echoedId"));
}

/** Remembers a verdict that came with the pool's response, and removes its headers, which are not for the client. */
export async function rememberVerdict(
  context: AppContext,
  model: string,
  response: Response,
): Promise<Response> {
  // Reading headers costs time, and most responses are answers.
  const holdsForMs = response.ok ? null : response.headers.get(HOLDS_HEADER);
  if (holdsForMs === null) return response;
  const headers = new Headers(response.headers);
  const keyId = headers.get(HOLDS_FOR_HEADER) === "key" ? context.get("key").id : null;
  headers.delete(HOLDS_HEADER);
  headers.delete(HOLDS_FOR_HEADER);
  const body = await response.text();
  const { status } = response;
  const code = headers.get("x-pool-reason");
  if (isApiErrorCode(code)) {
    const refusal = { code, status, body, retryAfterS: Number(headers.get("retry-after-ms")) / 1000 };
    verdicts.hold(model, keyId, refusal, Number(holdsForMs), Date.now());
  }
  return new Response(body, { status, headers });
}

/** Treats an overloaded pool as if it had given a verdict, and counts the request that found the overload. */
export function sparePool(context: AppContext, model: string, error: ApiError, promptTokens: number): void {
  const { id: keyId } = context.get("key");
  const { code, retryAfterS: waitS = 1 } = error;
  const now = Date.now();
  const { status, body } = encodeError(error);
  verdicts.hold(model, null, { code, status, body, retryAfterS: waitS }, LONGEST_VERDICT_MS, now);
  if (tally.isFull) return;
  tally.add(model, { code, keyId, requests: 1, promptTokens });
  flushSoon(context, now);
}

/** The pool's refusal with a new random `Retry-After`: clients that are told the same second return in the same second. */
function encode({ code, status, body, retryAfterS: fromS }: Refusal, echoedId: string): Response {
  const seconds = retryAfterS(fromS, 1, 0, Math.random());
  return new Response(body, {
    status,
    headers: {
      "content-type": "application/json",
      "retry-after": String(Math.ceil(seconds)),
      "retry-after-ms": String(Math.ceil(seconds * 1000)),
      "x-pool-reason": code,
      "x-request-id": echoedId,
    },
  });
}

/** Until when the scheduled flush counts as pending. If its request was cancelled, it never starts. */
let flushBeginsBy = -Infinity;

/** Lets one of many requests send the counts to the pools after it has been answered. */
function flushSoon({ env, executionCtx }: AppContext, now: number): void {
  if (now < flushBeginsBy) return;
  flushBeginsBy = now + 2 * TALLY_FLUSH_MS;
  executionCtx.waitUntil(flush(env));
}

async function flush(env: Env): Promise<void> {
  await scheduler.wait(TALLY_FLUSH_MS);
  // Counts that are added from here on need another flush.
  flushBeginsBy = -Infinity;
  await Promise.all(tally.drain().map(({ model, counts }) => tell(env, model, counts)));
}

async function tell(env: Env, model: string, counts: readonly RefusalCount[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await poolStub(env, model).refusedAtEdge(counts);
      return;
    } catch (error) {
      logWarning("pool_unreachable", { pool: model, call: "refusedAtEdge", error: String(error) });
    }
    if (tries >= TALLY_TRIES) break;
    await scheduler.wait(TALLY_RETRY_MS);
  }
  // Left to the next flush: the platform ends this one soon.
  for (const count of counts) tally.add(model, count);
}
