import { Hono } from "hono";

import { metricsOf, type FleetMetrics } from "../../core/metrics.ts";
import { poolName } from "../../core/pool-name.ts";
import { exposition, PROMETHEUS_CONTENT_TYPE } from "../../core/prometheus.ts";
import type { Env } from "../../durable-objects/env.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { logWarning } from "../../durable-objects/log.ts";
import rootPackage from "../../package.json" with { type: "json" };
import { answerWithin } from "../answer-within.ts";
import { requireAdmin } from "../auth.ts";
import { readCatalog } from "../catalog.ts";
import type { AppEnv } from "../context.ts";

/**
 * `GET /metrics` for Prometheus. The numbers are those of the objects themselves, asked at the moment of the scrape:
 * isolates come and go, so a counter of their own would not be one.
 */
export const metrics = new Hono<AppEnv>().get("/", requireAdmin, async ({ env, body }) => {
  const { entries } = await readCatalog(env);
  const [fleet, pools] = await Promise.all([
    readFleet(env),
    Promise.all(entries.map(async ({ id }) => ({ model: id, totals: await readTotals(env, id) }))),
  ]);
  const text = exposition(metricsOf({ version: rootPackage.version, pools, fleet }));
  return body(text, 200, { "content-type": PROMETHEUS_CONTENT_TYPE });
});

/** Well within the 10 s after which Prometheus gives up. */
const SCRAPE_ANSWER_MS = 5_000;

/** A part that does not answer is missing; the others are shown. */
async function readTotals(env: Env, model: string): Promise<ReadonlyMap<string, number> | null> {
  try {
    const totals = await answerWithin(SCRAPE_ANSWER_MS, env.MODEL_POOL.getByName(poolName(model)).totals());
    return new Map(Object.entries(totals));
  } catch (error) {
    logWarning("pool_unreachable", { pool: model, error: String(error) });
    return null;
  }
}

async function readFleet(env: Env): Promise<FleetMetrics | null> {
  try {
    return await answerWithin<FleetMetrics>(SCRAPE_ANSWER_MS, fleetStub(env).metrics());
  } catch (error) {
    logWarning("fleet_unreachable", { error: String(error) });
    return null;
  }
}
