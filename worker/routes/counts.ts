import { Hono } from "hono";

import { replayFleet, type AskedModel } from "../../core/fleet/replay-fleet.ts";
import { DEMAND_RETENTION_MS, USAGE_RETENTION_MS, USAGE_ROWS_MAX } from "../../core/limits.ts";
import type { UsageSpan } from "../../core/pool/usage.ts";
import type { Env } from "../../durable-objects/env.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import type { ModelPool } from "../../durable-objects/model-pool.ts";
import type { ModelId } from "../../protocol/ids.ts";
import { readCatalog } from "../catalog.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { demandTrace } from "../demand-trace.ts";
import { HttpError } from "../http-error.ts";
import { askPools, DAY_MS, daysOf } from "../pool-counts.ts";

/** What the pools have counted: `/v1/admin/demand`, as a trace and with the fleet to replay it, and `/v1/admin/usage`. */

export const counts = new Hono<AppEnv>()
  .get("/demand", async (context) =>
    context.body(demandTrace(await askDemand(context)), 200, { "content-type": "text/csv; charset=utf-8" }),
  )
  .get("/demand/fleet", async (context) => {
    const asked = await askDemand(context);
    const connected = await fleetStub(context.env).replayMachines();
    const { entries } = await readCatalog(context.env);
    const fleet = replayFleet(entries, connected, asked);
    if (fleet !== null) return context.json(fleet);
    const message =
      connected.length === 0
        ? "no machine is connected; the file describes those that are"
        : "nothing was asked in those days of a model that a connected machine can serve";
    throw new HttpError({ code: "not_found", message });
  })
  .get("/usage", async (context) => {
    const by = spanOf(context);
    const from = sinceOf(context, USAGE_RETENTION_MS);
    // A day that is added up is a whole one.
    const since = by === "day" ? from - (from % DAY_MS) : from;
    const answers = await askAll(context.env, "usage", async (pool) => await pool.usage(since, by));
    const rows = answers.reduce((sum, answer) => sum + (answer.rows?.length ?? Infinity), 0);
    if (rows > USAGE_ROWS_MAX) throw tooMuchUsage(by);
    const usage = answers.flatMap((answer) =>
      (answer.rows ?? []).map((row) => ({
        model_id: answer.model,
        [by === "day" ? "day_at" : "hour_at"]: row.hourAt,
        key_id: row.keyId,
        outcome: row.outcome,
        requests: row.requests,
        prompt_tokens: row.promptTokens,
        completion_tokens: row.completionTokens,
        cached_tokens: row.cachedTokens,
      })),
    );
    return context.json({ usage });
  });

/** @throws HttpError 400 */
function spanOf({ req }: AppContext): UsageSpan {
  const by = req.query("by") ?? "hour";
  if (by === "hour" || by === "day") return by;
  throw new HttpError({ code: "invalid_request", param: "by", message: 'by: must be "hour" or "day"' });
}

function tooMuchUsage(by: UsageSpan): HttpError {
  const how = by === "day" ? "ask for fewer days" : "ask for fewer days, or add by=day";
  const message = `days: in so many days there are more than ${USAGE_ROWS_MAX} rows; ${how}`;
  return new HttpError({ code: "invalid_request", param: "days", message });
}

function askDemand(context: AppContext): Promise<AskedModel[]> {
  const since = sinceOf(context, DEMAND_RETENTION_MS);
  return askAll(context.env, "demand", async (pool) => await pool.demand(since));
}

/** From when on rows are asked for: whole days back. */
function sinceOf(context: AppContext, keptMs: number): number {
  return Date.now() - daysOf(context, keptMs) * DAY_MS;
}

/** Of all models in the catalog. */
async function askAll<T>(
  env: Env,
  call: string,
  ask: (pool: DurableObjectStub<ModelPool>) => Promise<T>,
): Promise<{ readonly model: ModelId; readonly rows: T }[]> {
  const { entries } = await readCatalog(env);
  const models = entries.map(({ id }) => id);
  return askPools(env, models, call, ask);
}
