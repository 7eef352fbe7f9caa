import { poolName } from "../core/pool-name.ts";
import type { Env } from "../durable-objects/env.ts";
import { logWarning } from "../durable-objects/log.ts";
import { encodePoolCall, type PoolCall } from "../durable-objects/pool-call.ts";
import { HttpError } from "./http-error.ts";

/** How often a call is made again when the pool object breaks before it has answered. */
const RESENDS = 2;

/**
 * Sends a request to its pool and returns the pool's response untouched. If the object is reset before it has
 * answered (a deploy does that), the text goes to a fresh stub under the same request id (H18).
 * @throws HttpError 502 `provider_error` when the resends are used up, 504 past the deadline
 */
export async function callPool(env: Env, modelId: string, call: PoolCall, body: string): Promise<Response> {
  for (let resend = 0; ; resend++) {
    try {
      return await env.MODEL_POOL.getByName(poolName(modelId)).fetch(encodePoolCall(call, body));
    } catch (error) {
      logWarning("pool_call_broke", {
        pool: modelId,
        requestId: call.requestId,
        error: String(error),
      });
      if (Date.now() >= call.deadlineAt) {
        throw new HttpError({ code: "deadline_exceeded", message: "the request ran out of time" });
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
