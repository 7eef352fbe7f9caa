import { z } from "zod";

import { USAGE_RETENTION_MS } from "../core/limits.ts";
import { logWarning } from "../durable-objects/log.ts";
import { poolStub } from "../durable-objects/pool-stub.ts";
import { readCatalog } from "./catalog.ts";
import type { AppContext } from "./context.ts";
import { HttpError } from "./http-error.ts";

/** What one machine has answered, by model and UTC day, for its owner. Nobody is told what it did while it was another's. */

const DAY_MS = 86_400_000;

interface WorkRow {
  readonly model_id: string;
  readonly day_at: number;
  readonly requests: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly cached_tokens: number;
}

/**
 * Only the pools of its models are asked: it can have answered in no others, but for those that it does not offer any more.
 * @param offered models on the machine's disk.
 * @throws HttpError 400, or 503 `try_again` if a pool does not answer: a part would pass for the whole.
 */
export async function machineWork(
  context: AppContext,
  machineId: string,
  owner: string,
  offered: readonly string[],
): Promise<WorkRow[]> {
  const { env, req } = context;
  const since = sinceOf(req.query("days"));
  const { entries } = await readCatalog(env);
  const pools = entries.map(({ id }) => id).filter((id) => offered.includes(id));
  const rows = await Promise.all(
    pools.map(async (id) => {
      try {
        const work = await poolStub(env, id).workOf(machineId, owner, since);
        return work.map((row): WorkRow => ({
          model_id: id,
          day_at: row.dayAt,
          requests: row.requests,
          prompt_tokens: row.promptTokens,
          completion_tokens: row.completionTokens,
          cached_tokens: row.cachedTokens,
        }));
      } catch (error) {
        logWarning("pool_unreachable", { pool: id, call: "workOf", error: String(error) });
        const message = `the pool "${id}" does not answer; try again`;
        throw new HttpError({ code: "try_again", message, retryAfterS: 10 });
      }
    }),
  );
  return rows.flat();
}

/** Whole days, the present one and those before it. */
function sinceOf(text: string | undefined): number {
  const most = USAGE_RETENTION_MS / DAY_MS;
  const days = z.coerce
    .number()
    .int()
    .min(1)
    .max(most)
    .safeParse(text ?? "1");
  if (!days.success) {
    const message = `days: must be a whole number from 1 to ${most}`;
    throw new HttpError({ code: "invalid_request", param: "days", message });
  }
  const now = Date.now();
  return now - (now % DAY_MS) - (days.data - 1) * DAY_MS;
}
