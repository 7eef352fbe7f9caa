import { Hono } from "hono";
import { z } from "zod";

import { difference } from "../../core/audit.ts";
import { prioritySchema } from "../../core/pool/priority.ts";
import type { Env } from "../../durable-objects/env.ts";
import { logWarning } from "../../durable-objects/log.ts";
import { readJsonBody } from "../body.ts";
import type { AppContext, AppEnv } from "../context.ts";
import type { KeyRecord } from "../key-records.ts";
import { changeKey, createSecret, deleteSecret, type KeySettings } from "../secrets.ts";
import { validate } from "../validate.ts";
import { label, readPage, refuseSecrets, secretId, unknownId } from "./secret-requests.ts";

/** `/v1/admin/keys`: API keys, their limits and their priority. A secret is shown when it is made and never again. */

const perMinute = z.int().min(1).max(1_000_000_000).nullable();
const settingFields = {
  requests_per_minute: perMinute.optional(),
  tokens_per_minute: perMinute.optional(),
  priority: prioritySchema.optional(),
};

const changeable = Object.keys(settingFields).join(", ");

const newKeySchema = z.strictObject({ owner: label, name: label, ...settingFields });
const settingsSchema = z
  .strictObject(settingFields)
  .refine((fields) => Object.keys(fields).length > 0, `names nothing to change; there are ${changeable}`);

export const keys = new Hono<AppEnv>()
  .get("/", async (context) => {
    const { records, cursor } = await readPage(context, "key");
    return context.json({ keys: records.map(keyRow), next_cursor: cursor });
  })
  .post("/", async (context) => {
    const { owner, name, ...fields } = validate(newKeySchema, (await readJsonBody(context.req.raw)).json);
    refuseSecrets(context, { owner, name });
    const settings = settingsOf(fields);
    const made = await createSecret(context.env.KEYS, "key", { owner, name }, Date.now(), settings);
    const { created_at: _, ...row } = keyRow(made.record);
    context.set("difference", difference(null, row));
    return context.json({ id: made.record.id, key: made.secret }, 201);
  })
  .patch("/:id", (context) => change(context))
  .put("/:id", (context) => change(context))
  .delete("/:id", async (context) => {
    const id = secretId(context);
    const deleted = await deleteSecret(context.env.KEYS, "key", id);
    if (deleted === null) throw unknownId(id);
    await forgetLimits(context.env, id);
    context.set("difference", difference(deleted, null));
    return context.json({ id, deleted: true });
  });

/** The key is deleted, whatever comes of this. */
async function forgetLimits(env: Env, id: string): Promise<void> {
  try {
    await env.KEY_LIMITS.getByName(id).forget();
  } catch (error) {
    logWarning("key_limits_not_forgotten", { keyId: id, error: String(error).slice(0, 200) });
  }
}

/** What is left out stays as it is. */
async function change(context: AppContext): Promise<Response> {
  const id = secretId(context);
  const fields = validate(settingsSchema, (await readJsonBody(context.req.raw)).json);
  const changed = await changeKey(context.env.KEYS, id, settingsOf(fields));
  if (changed === null) throw unknownId(id);
  const row = keyRow(changed.after);
  context.set("difference", difference(keyRow(changed.before), row));
  return context.json(row);
}

function settingsOf(fields: z.infer<typeof settingsSchema>): KeySettings {
  const { requests_per_minute: requests, tokens_per_minute: tokens, priority } = fields;
  const limits = {
    ...(requests === undefined ? {} : { requestsPerMinute: requests }),
    ...(tokens === undefined ? {} : { tokensPerMinute: tokens }),
  };
  return { limits, priority };
}

function keyRow({ id, owner, name, createdAt, limits, priority }: KeyRecord) {
  return {
    id,
    owner,
    name,
    created_at: createdAt,
    requests_per_minute: limits.requestsPerMinute,
    tokens_per_minute: limits.tokensPerMinute,
    priority,
  };
}
