import { z } from "zod";

import type { Env } from "../durable-objects/env.ts";
import { logWarning } from "../durable-objects/log.ts";
import type { ModelPool } from "../durable-objects/model-pool.ts";
import { poolStub } from "../durable-objects/pool-stub.ts";
import type { ModelId } from "../protocol/ids.ts";
import type { AppContext } from "./context.ts";
import { HttpError } from "./http-error.ts";

/** Questions to pools about what they have counted. */

export const DAY_MS = 86_400_000;

/**
 * Asks the pools of these models.
 * @param call for the log.
 * @throws HttpError 503 `try_again` if one does not answer: a part would pass for the whole
 */
export function askPools<T>(
  env: Env,
  models: readonly ModelId[],
  call: string,
  ask: (pool: DurableObjectStub<ModelPool>) => Promise<T>,
): Promise<{ readonly model: ModelId; readonly rows: T }[]> {
  return Promise.all(
    models.map(async (model) => {
      try {
        return { model, rows: await ask(poolStub(env, model)) };
      } catch (error) {
        logWarning("pool_unreachable", { pool: model, call, error: String(error) });
        const message = `the pool "${model}" does not answer; try again`;
        throw new HttpError({ code: "try_again", message, retryAfterS: 10 });
      }
    }),
  );
}

/**
 * How many days are asked for, one unless `days` says more.
 * @param keptMs for how long it is kept.
 * @throws HttpError 400
 */
export function daysOf({ req }: AppContext, keptMs: number): number {
  const most = keptMs / DAY_MS;
  const days = z.coerce
    .number()
    .int()
    .min(1)
    .max(most)
    .safeParse(req.query("days") ?? "1");
  if (days.success) return days.data;
  const message = `days: must be a whole number from 1 to ${most}`;
  throw new HttpError({ code: "invalid_request", param: "days", message });
}
