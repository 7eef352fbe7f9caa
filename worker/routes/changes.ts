import { Hono } from "hono";
import { z } from "zod";

import { outcomeOf, wordsOf, type AuditRow } from "../../core/audit.ts";
import { AUDIT_PAGE_MAX } from "../../core/limits.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import type { AppEnv } from "../context.ts";
import { validate } from "../validate.ts";

/** `/v1/admin/audit`: the log of changes, the newest first, by the page. */

const NO_CURSOR = "is not the `next_cursor` of an earlier page; leave it out to begin with the first";

const querySchema = z.object({
  since: z.coerce.number("must be milliseconds since 1970").int().min(0).default(0),
  limit: z.coerce.number("must be a number of rows").int().min(1).max(AUDIT_PAGE_MAX).default(100),
  cursor: z.coerce.number(NO_CURSOR).int(NO_CURSOR).min(1, NO_CURSOR).optional(),
  about: z.string().max(200).default(""),
});

export const changes = new Hono<AppEnv>().get("/", async (context) => {
  const { since, limit, cursor, about } = validate(querySchema, context.req.query());
  const below = cursor ?? null;
  const rows = await fleetStub(context.env).changes({ since, below, limit: limit + 1, about });
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? (shown.at(-1)?.id ?? null) : null;
  return context.json({
    changes: shown.map(changeRow),
    next_cursor: last === null ? null : String(last),
  });
});

function changeRow(row: AuditRow): object {
  return {
    id: row.id,
    at: row.at,
    request_id: row.requestId,
    token_id: row.tokenId,
    token_name: row.tokenName,
    address: row.address,
    method: row.method,
    path: row.path,
    what: wordsOf(row.method, row.path),
    outcome: outcomeOf(row.status),
    status: row.status,
    code: row.code,
    before: valueOf(row.before),
    after: valueOf(row.after),
  };
}

function valueOf(json: string | null): unknown {
  return json === null ? null : JSON.parse(json);
}
