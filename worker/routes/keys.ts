import { Hono } from "hono";
import { z } from "zod";

import { prioritySchema } from "../../core/pool/priority.ts";
import { readJsonBody } from "../body.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import {
  changeKey,
  createSecret,
  deleteSecret,
  isSecretId,
  listSecrets,
  type KeyRecord,
  type KeySettings,
  type SecretKind,
} from "../secrets.ts";
import { validate } from "../validate.ts";

/** `/v1/admin/keys`: API keys, their limits and their priority. A secret is shown when it is made and never again. */

/** An owner, or the name of a key. */
export const label = z
  .string()
  .regex(
    /^[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?$/,
    "must have 1 to 128 printable ASCII characters, without blanks at either end",
  );

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
    const settings = settingsOf(fields);
    const { id, secret } = await createSecret(context.env.KEYS, "key", { owner, name }, Date.now(), settings);
    return context.json({ id, key: secret }, 201);
  })
  .patch("/:id", (context) => change(context))
  .put("/:id", (context) => change(context))
  .delete("/:id", async (context) => {
    const id = secretId(context);
    if (!(await deleteSecret(context.env.KEYS, "key", id))) throw unknownId(id);
    return context.json({ id, deleted: true });
  });

/** What is left out stays as it is. */
async function change(context: AppContext): Promise<Response> {
  const id = secretId(context);
  const fields = validate(settingsSchema, (await readJsonBody(context.req.raw)).json);
  const record = await changeKey(context.env.KEYS, id, settingsOf(fields));
  if (record === null) throw unknownId(id);
  return context.json(keyRow(record));
}

function settingsOf(fields: z.infer<typeof settingsSchema>): KeySettings {
  const { requests_per_minute: requests, tokens_per_minute: tokens, priority } = fields;
  const limits = {
    ...(requests === undefined ? {} : { requestsPerMinute: requests }),
    ...(tokens === undefined ? {} : { tokensPerMinute: tokens }),
  };
  return { limits, priority };
}

function keyRow({ id, owner, name, createdAt, limits, priority }: KeyRecord): object {
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

/** @throws HttpError 400 for a malformed cursor */
export async function readPage(
  context: AppContext,
  kind: SecretKind,
): Promise<{ readonly records: readonly KeyRecord[]; readonly cursor: string | null }> {
  const cursor = context.req.query("cursor") ?? "";
  const page = await listSecrets(context.env.KEYS, kind, cursor === "" ? null : cursor);
  if (page !== null) return page;
  const message = "cursor: is not the `next_cursor` of an earlier page; leave it out to begin with the first";
  throw new HttpError({ code: "invalid_request", param: "cursor", message });
}

/** @throws HttpError 404 for what cannot be an id */
export function secretId(context: AppContext): string {
  const id = context.req.param("id") ?? "";
  if (!isSecretId(id)) throw unknownId(id);
  return id;
}

export function unknownId(id: string): HttpError {
  return new HttpError({ code: "not_found", message: `there is no key or token with the id "${id}"` });
}
