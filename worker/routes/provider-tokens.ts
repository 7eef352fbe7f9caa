import { Hono } from "hono";
import { z } from "zod";

import { difference } from "../../core/audit.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { readJsonBody } from "../body.ts";
import type { AppEnv } from "../context.ts";
import { createSecret, deleteSecret } from "../secrets.ts";
import { validate } from "../validate.ts";
import { label, readPage, refuseSecrets, secretId, unknownId } from "./secret-requests.ts";

/** `/v1/admin/provider-tokens`: what machines dial with. A token is shown when it is made and never again. */

const newTokenSchema = z.strictObject({ owner: label, name: label });

export const providerTokens = new Hono<AppEnv>()
  .get("/", async (context) => {
    const { records, cursor } = await readPage(context, "token");
    const rows = records.map(({ id, owner, name, createdAt }) => ({
      id,
      owner,
      name,
      created_at: createdAt,
    }));
    return context.json({ provider_tokens: rows, next_cursor: cursor });
  })
  .post("/", async (context) => {
    const { owner, name } = validate(newTokenSchema, (await readJsonBody(context.req.raw)).json);
    refuseSecrets(context, { owner, name });
    const { secret, record } = await createSecret(context.env.KEYS, "token", { owner, name }, Date.now());
    context.set("difference", difference(null, { id: record.id, owner, name }));
    return context.json({ id: record.id, token: secret }, 201);
  })
  .delete("/:id", async (context) => {
    const id = secretId(context);
    // The fleet first: KV may go on handing out the token for a minute, and a call that breaks half way can be made
    // again.
    const machines = await fleetStub(context.env).revokeToken(id);
    const deleted = await deleteSecret(context.env.KEYS, "token", id);
    if (deleted === null) throw unknownId(id);
    context.set("difference", difference(deleted, null));
    return context.json({ id, deleted: true, machines });
  });
