import { OVERLOAD_WAIT_S } from "../core/limits.ts";
import { poolName } from "../core/pool-name.ts";
import { retryAfterS } from "../core/pool/retry-after.ts";
import { encodeEdgeCall, type EdgeCall } from "../durable-objects/edge-call.ts";
import type { Env } from "../durable-objects/env.ts";
import { logWarning } from "../durable-objects/log.ts";
import { regionOf } from "../durable-objects/region.ts";
import { HttpError } from "./http-error.ts";
import { isOverloaded } from "./object-fault.ts";

/** Ids of pools by name: to make one means to hash the name, and stubs do not outlive a request. */
const poolIds = new Map<string, DurableObjectId>();
const POOL_IDS_MAX = 1_000;

/** How often a call is made again when the pool object breaks before it has answered. */
const RESENDS = 2;

/** Waited before the first of them at most, and four times that before the second: what broke the call may go on for a moment. */
const RESEND_AFTER_MS = 100;

/** 429 `queue_full`: the platform has not let the request in, so the pool knows nothing of it. */
export class PoolOverloaded extends HttpError {
  readonly pool: string;

  constructor(pool: string) {
    super({
      code: "queue_full",
      message: `"${pool}" is asked for more than its pool can take in; try again shortly`,
      retryAfterS: retryAfterS(OVERLOAD_WAIT_S, OVERLOAD_WAIT_S, 0, Math.random()),
    });
    this.pool = pool;
  }
}

/**
 * Sends a request to its pool and returns the pool's response untouched. If the object is reset before it has
 * answered (a deploy does that), the text goes to a fresh stub under the same request id (H18). One that has more calls
 * than it can take is not asked again.
 * @throws PoolOverloaded
 * @throws HttpError 502 `provider_error` when the resends are used up, 504 past the deadline
 */
export async function callPool(env: Env, modelId: string, call: EdgeCall, body: string): Promise<Response> {
  for (let resend = 0; ; resend++) {
    try {
      return await env.MODEL_POOL.get(poolId(env, modelId), regionOf(env)).fetch(
        "http://pool/",
        encodeEdgeCall(call, body),
      );
    } catch (error) {
      logWarning("pool_call_broke", {
        pool: modelId,
        requestId: call.requestId,
        error: String(error),
      });
      if (isOverloaded(error)) throw new PoolOverloaded(modelId);
      if (Date.now() >= call.deadlineAt) {
        throw new HttpError({
          code: "deadline_exceeded",
          message: "the request ran out of time",
          isFinal: true,
        });
      }
      if (resend >= RESENDS) {
        throw new HttpError({
          code: "provider_error",
          message: "the pool restarted again and again; try again",
        });
      }
      await scheduler.wait(RESEND_AFTER_MS * 4 ** resend * Math.random());
    }
  }
}

function poolId(env: Env, modelId: string): DurableObjectId {
  const name = poolName(modelId);
  const known = poolIds.get(name);
  if (known !== undefined) return known;
  if (poolIds.size >= POOL_IDS_MAX) poolIds.clear();
  const id = env.MODEL_POOL.idFromName(name);
  poolIds.set(name, id);
  return id;
}
