import { USAGE_RETENTION_MS } from "../core/limits.ts";
import { readCatalog } from "./catalog.ts";
import type { AppContext } from "./context.ts";
import { askPools, DAY_MS, daysOf } from "./pool-counts.ts";

/** What one machine has answered, by model and UTC day, for its owner. Nobody is told what it did while it was another's. */

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
 * @throws HttpError 400, or 503 `try_again` if a pool does not answer
 */
export async function machineWork(
  context: AppContext,
  machineId: string,
  owner: string,
  offered: readonly string[],
): Promise<WorkRow[]> {
  const since = sinceOf(context);
  const { entries } = await readCatalog(context.env);
  const models = entries.map(({ id }) => id).filter((id) => offered.includes(id));
  const answers = await askPools(
    context.env,
    models,
    "workOf",
    async (pool) => await pool.workOf(machineId, owner, since),
  );
  return answers.flatMap(({ model, rows }) =>
    rows.map((row) => ({
      model_id: model,
      day_at: row.dayAt,
      requests: row.requests,
      prompt_tokens: row.promptTokens,
      completion_tokens: row.completionTokens,
      cached_tokens: row.cachedTokens,
    })),
  );
}

/** Whole days, the present one and those before it. */
function sinceOf(context: AppContext): number {
  const now = Date.now();
  return now - (now % DAY_MS) - (daysOf(context, USAGE_RETENTION_MS) - 1) * DAY_MS;
}
