import type { Capacity } from "../core/fleet/capacity.ts";
import { CAPACITY_TTL_MS, FLEET_ANSWER_TIMEOUT_MS } from "../core/limits.ts";
import type { Env } from "../durable-objects/env.ts";
import { fleetStub } from "../durable-objects/fleet-stub.ts";
import { logWarning } from "../durable-objects/log.ts";
import { answerWithin } from "./answer-within.ts";
import type { AppContext } from "./context.ts";
import { HttpError } from "./http-error.ts";

let known: { readonly capacity: Capacity; readonly readAt: number } | null = null;
/** When a request last started to read. It may have been cancelled since. */
let askedAt = -Infinity;
/** When the fleet was last waited for in vain. */
let failedAt = -Infinity;

/**
 * The free capacity of all pools. However many clients ask, an isolate asks the fleet at most every two seconds. While one
 * request reads, the others use the last known value, because a request cannot wait for another request's I/O.
 * @throws HttpError 503 `try_again` if the fleet does not answer, or did not within the last two seconds
 */
export async function readCapacity(env: Env): Promise<Capacity> {
  const now = Date.now();
  const age = known === null ? Infinity : now - known.readAt;
  const isBeingRead = now - askedAt < CAPACITY_TTL_MS;
  if (known !== null && (age < CAPACITY_TTL_MS || (isBeingRead && age < 2 * CAPACITY_TTL_MS))) {
    return known.capacity;
  }
  // Each request would wait as long again, the lists of models among them.
  if (now - failedAt < CAPACITY_TTL_MS) throw unknownCapacity();
  askedAt = now;
  try {
    const read = await answerWithin<Capacity>(FLEET_ANSWER_TIMEOUT_MS, fleetStub(env).capacity());
    known = { capacity: read, readAt: now };
    return read;
  } catch (error) {
    failedAt = Date.now();
    logWarning("fleet_unreachable", { error: String(error) });
    throw unknownCapacity();
  }
}

/**
 * Lets anybody cache an answer as long as the numbers in it are. Pages of other origins may read only those that were given to
 * one, so caches must tell them apart.
 */
export function allowCaching(context: AppContext): void {
  context.header("cache-control", `public, max-age=${CAPACITY_TTL_MS / 1000}`);
  context.header("vary", "origin");
}

function unknownCapacity(): HttpError {
  const message = "it cannot be found out at the moment what the pools can take; try again";
  return new HttpError({ code: "try_again", message, retryAfterS: 1 });
}
