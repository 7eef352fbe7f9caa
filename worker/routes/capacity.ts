import { Hono } from "hono";

import type { Capacity } from "../../core/fleet/capacity.ts";
import { CAPACITY_TTL_MS, FLEET_ANSWER_TIMEOUT_MS } from "../../core/limits.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { logWarning } from "../../durable-objects/log.ts";
import { answerWithin } from "../answer-within.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";

/**
 * `GET /v1/models/capacity`, for everybody, so that a client or an aggregator knows before it asks. However many look,
 * an isolate asks the fleet every two seconds at most, and the fleet the pools.
 */
export const capacity = new Hono<AppEnv>().get("/", async (context) => {
  const { at, models } = await readCapacity(context);
  context.header("cache-control", `public, max-age=${CAPACITY_TTL_MS / 1000}`);
  return context.json({ object: "list", at, data: models });
});

let known: { readonly capacity: Capacity; readonly readAt: number } | null = null;
/** When a request last set out to read. It may have been cancelled since. */
let askedAt = -Infinity;

/** While one request reads, the others go on with what is known: they cannot wait for another request's I/O. */
async function readCapacity({ env }: AppContext): Promise<Capacity> {
  const now = Date.now();
  const age = known === null ? Infinity : now - known.readAt;
  const isBeingRead = now - askedAt < CAPACITY_TTL_MS;
  if (known !== null && (age < CAPACITY_TTL_MS || (isBeingRead && age < 2 * CAPACITY_TTL_MS))) {
    return known.capacity;
  }
  askedAt = now;
  try {
    const read = await answerWithin<Capacity>(FLEET_ANSWER_TIMEOUT_MS, fleetStub(env).capacity());
    known = { capacity: read, readAt: now };
    return read;
  } catch (error) {
    logWarning("fleet_unreachable", { error: String(error) });
    const message = "it cannot be found out at the moment what the pools can take; try again";
    throw new HttpError({ code: "try_again", message, retryAfterS: 1 });
  }
}
