import { Hono } from "hono";

import { SCRAPE_FLEET_MS, SCRAPE_POOLS_MS } from "../../core/limits.ts";
import { metricsOf, type FleetScrape } from "../../core/metrics.ts";
import { exposition, PROMETHEUS_CONTENT_TYPE } from "../../core/prometheus.ts";
import type { Env } from "../../durable-objects/env.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { logWarning } from "../../durable-objects/log.ts";
import { poolStub } from "../../durable-objects/pool-stub.ts";
import rootPackage from "../../package.json" with { type: "json" };
import { answerWithin } from "../answer-within.ts";
import { requireAdmin } from "../auth.ts";
import { readCatalog } from "../catalog.ts";
import type { AppEnv } from "../context.ts";

/**
 * `GET /metrics` for Prometheus. The numbers are those of the objects themselves, as of the moment of the scrape: isolates come
 * and go, so a counter of their own would not be one. The fleet asks the pools, since it knows in which of them nothing has
 * happened, and lets those sleep. While it does not answer, each pool is asked.
 */
export const metrics = new Hono<AppEnv>().get("/", requireAdmin, async ({ env, body }) => {
  const { entries } = await readCatalog(env);
  const fleet = await readFleet(env);
  const pools = await Promise.all(
    entries.map(async ({ id }) => {
      const known = fleet?.totals.get(id);
      // The fleet may not have seen this catalog yet.
      return { model: id, totals: known === undefined ? await readTotals(env, id) : known };
    }),
  );
  const text = exposition(metricsOf({ version: rootPackage.version, pools, fleet }));
  return body(text, 200, { "content-type": PROMETHEUS_CONTENT_TYPE });
});

/** A part that does not answer is missing; the others are shown. */
async function readTotals(env: Env, model: string): Promise<ReadonlyMap<string, number> | null> {
  try {
    const pool = poolStub(env, model);
    return await answerWithin<ReadonlyMap<string, number>>(SCRAPE_POOLS_MS, pool.totals());
  } catch (error) {
    logWarning("pool_unreachable", { pool: model, error: String(error) });
    return null;
  }
}

async function readFleet(env: Env): Promise<FleetScrape | null> {
  try {
    return await answerWithin<FleetScrape>(SCRAPE_FLEET_MS, fleetStub(env).metrics());
  } catch (error) {
    logWarning("fleet_unreachable", { error: String(error) });
    return null;
  }
}
