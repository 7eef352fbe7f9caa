import { poolName } from "../core/pool-name.ts";
import { encodeEdgeCall, type EdgeCall } from "../durable-objects/edge-call.ts";
import type { Env } from "../durable-objects/env.ts";
import { logWarning } from "../durable-objects/log.ts";
import { HttpError } from "./http-error.ts";

/** Ids of pools by name: to make one means to hash the name, and stubs do not outlive a request. */
const poolIds = new Map<string, DurableObjectId>();
const POOL_IDS_MAX = 1_000;

/** How often a call is made again when the pool object breaks before it has answered. */
const RESENDS = 2;

/**
 * Sends a request to its pool and returns the pool's response untouched. If the object is reset before it has
 * answered (a deploy does that), the text goes to a fresh stub under the same request id (H18).
 * @throws HttpError 502 `provider_error` when the resends are used up, 504 past the deadline
 */
export async function callPool(env: Env, modelId: string, call: EdgeCall, body: string): Promise<Response> {
  for (let resend = 0; ; resend++) {
    try {
      return await env.MODEL_POOL.get(poolId(env, modelId)).fetch("http://pool/", encodeEdgeCall(call, body));
    } catch (error) {
      logWarning("pool_call_broke", {
        pool: modelId,
        requestId: call.requestId,
        error: String(error),
      });
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
