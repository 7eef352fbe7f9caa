import { Hono } from "hono";
import { z } from "zod";

import { poolName } from "../../core/pool-name.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { requireAdmin } from "../auth.ts";
import { readJsonBody } from "../body.ts";
import { readCatalog } from "../catalog.ts";
import type { AppEnv } from "../context.ts";
import { demandTrace } from "../demand-trace.ts";
import { HttpError } from "../http-error.ts";
import { validate } from "../openai/validate.ts";
import { createSecret, deleteSecret } from "../secrets.ts";
import { catalog } from "./catalog.ts";
import { flags } from "./flags.ts";
import { keys, label, readPage, secretId, unknownId } from "./keys.ts";
import { machines } from "./machines.ts";
import { placement } from "./placement.ts";

/** The operators' API under `/v1/admin`: catalog, flags, machines, API keys, provider tokens, usage. */

const newSecretSchema = z.strictObject({ owner: label, name: label });

/** Usage is asked for by the day: one to as many as are kept. */
const usageDaysSchema = z.coerce.number().int().min(1).max(35);

/** Demand is kept for eight days. */
const demandDaysSchema = z.coerce.number().int().min(1).max(8);

export const admin = new Hono<AppEnv>()
  .use(requireAdmin)
  .route("/catalog", catalog)
  .route("/flags", flags)
  .route("/machines", machines)
  .route("/placement", placement)
  .route("/keys", keys)
  .get("/utilization", async (context) => context.json(await fleetStub(context.env).utilization()))
  .get("/provider-tokens", async (context) => {
    const { records, cursor } = await readPage(context, "token");
    const rows = records.map(({ id, owner, name, createdAt }) => ({
      id,
      owner,
      name,
      created_at: createdAt,
    }));
    return context.json({ provider_tokens: rows, next_cursor: cursor });
  })
  .post("/provider-tokens", async (context) => {
    const { owner, name } = validate(newSecretSchema, (await readJsonBody(context.req.raw)).json);
    const { id, secret } = await createSecret(context.env.KEYS, "token", owner, name, Date.now());
    return context.json({ id, token: secret }, 201);
  })
  .delete("/provider-tokens/:id", async (context) => {
    const id = secretId(context);
    // The fleet first: KV may go on handing out the token for a minute, and a call that breaks half way can be made
    // again.
    await fleetStub(context.env).revokeToken(id);
    if (!(await deleteSecret(context.env.KEYS, "token", id))) throw unknownId(id);
    return context.json({ id, deleted: true });
  })
  .get("/demand", async (context) => {
    const days = demandDaysSchema.safeParse(context.req.query("days") ?? "1");
    if (!days.success) {
      throw new HttpError({
        code: "invalid_request",
        param: "days",
        message: "days: a whole number from 1 to 8",
      });
    }
    const since = Date.now() - days.data * 86_400_000;
    const { entries } = await readCatalog(context.env);
    const histories = await Promise.all(
      entries.map(async ({ id }) => ({
        model: id,
        rows: await context.env.MODEL_POOL.getByName(poolName(id)).demand(since),
      })),
    );
    return context.body(demandTrace(histories), 200, { "content-type": "text/csv; charset=utf-8" });
  })
  .get("/usage", async (context) => {
    const days = usageDaysSchema.safeParse(context.req.query("days") ?? "1");
    if (!days.success) {
      throw new HttpError({
        code: "invalid_request",
        param: "days",
        message: "days: a whole number from 1 to 35",
      });
    }
    const since = Date.now() - days.data * 86_400_000;
    const { entries } = await readCatalog(context.env);
    const usage = await Promise.all(
      entries.map(async ({ id }) => {
        const rows = await context.env.MODEL_POOL.getByName(poolName(id)).usage(since);
        return rows.map((row) => ({
          model_id: id,
          hour_at: row.hourAt,
          key_id: row.keyId,
          outcome: row.outcome,
          requests: row.requests,
          prompt_tokens: row.promptTokens,
          completion_tokens: row.completionTokens,
          cached_tokens: row.cachedTokens,
        }));
      }),
    );
    return context.json({ usage: usage.flat() });
  });
