import { Hono } from "hono";
import { z } from "zod";

import { difference } from "../../core/audit.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { readJsonBody } from "../body.ts";
import type { AppEnv } from "../context.ts";
import { scopeSchema } from "../key-records.ts";
import { createSecret, deleteSecret, isStored } from "../secrets.ts";
import { validate } from "../validate.ts";
import { label, readPage, refuseSecrets, secretId, unknownId } from "./secret-requests.ts";

/**
 * `/v1/admin/admin-tokens`: named tokens of operators and their programs, besides the one in the Worker's secrets, which is
 * not among them and cannot be revoked here. A token is shown when it is made and never again.
 */

const newTokenSchema = z.strictObject({ name: label, scope: scopeSchema });

export const adminTokens = new Hono<AppEnv>()
  .get("/", async (context) => {
    const { records, cursor } = await readPage(context, "admin");
    const rows = records.map(({ id, name, scope = "read", createdAt }) => ({
      id,
      name,
      scope,
      created_at: createdAt,
    }));
    return context.json({ admin_tokens: rows, next_cursor: cursor });
  })
  .post("/", async (context) => {
    const { name, scope } = validate(newTokenSchema, (await readJsonBody(context.req.raw)).json);
    refuseSecrets(context, { name });
    const labels = { owner: "", name, scope };
    const { secret, record } = await createSecret(context.env.KEYS, "admin", labels, Date.now());
    context.set("difference", difference(null, { id: record.id, name, scope }));
    return context.json({ id: record.id, token: secret }, 201);
  })
  .delete("/:id", async (context) => {
    const id = secretId(context);
    const { KEYS } = context.env;
    // The fleet never forgets what it was told to refuse.
    if (!(await isStored(KEYS, "admin", id))) throw unknownId(id);
    // The fleet first, as with provider tokens.
    await fleetStub(context.env).revokeAdminToken(id);
    const deleted = await deleteSecret(KEYS, "admin", id);
    const { name } = deleted ?? {};
    context.set("difference", difference(name === undefined ? null : { name }, null));
    return context.json({ id, deleted: true });
  });
