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

/** What this isolate has heard of its pools' refusals, and what it has refused by itself since. */

const verdicts = new EdgeVerdicts();
const tally = new RefusalTally();

/** The refusal that holds for a model now, counted; null if its pool has to be asked. */
export function refuseAtEdge(context: AppContext, model: string, promptTokens: number): Response | null {
  const { id: keyId } = context.get("key");
  const now = Date.now();
  const refusal = verdicts.find(model, keyId, now);
  if (refusal === null || tally.isFull) return null;
  tally.add(model, { code: refusal.code, keyId, requests: 1, promptTokens });
  flushSoon(context, now);
  return encode(refusal, context.get("echoedId"));
}

/** Keeps what a refusal of the pool says about the next ones, which is not for the client. */
export async function heedVerdict(context: AppContext, model: string, response: Response): Promise<Response> {
  // Most are answers, and it costs something to look at the headers.
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

/** Refuses for a pool that can take nothing in, as long as a verdict lasts, and counts the request that found that out. */
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

/** As the pool would say it, but spread anew: all who are told the same second come back in the same second. */
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

/** When the flush that is due must have begun; one whose request was cut off never does. */
let flushBeginsBy = -Infinity;

/** One request of many takes the counts to the pools, once it has answered. */
function flushSoon({ env, executionCtx }: AppContext, now: number): void {
  if (now < flushBeginsBy) return;
  flushBeginsBy = now + 2 * TALLY_FLUSH_MS;
  executionCtx.waitUntil(flush(env));
}

async function flush(env: Env): Promise<void> {
  await scheduler.wait(TALLY_FLUSH_MS);
  // What comes from here on needs a flush of its own.
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
  // They go with the next flush: the platform ends this one soon.
  for (const count of counts) tally.add(model, count);
}
