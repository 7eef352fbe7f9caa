import { Hono } from "hono";
import { z } from "zod";

import { difference } from "../../core/audit.ts";
import { BULK_ORDERS, type BulkOrder, type OrderedMachine } from "../../core/fleet/bulk-orders.ts";
import { BULK_MACHINES_MAX } from "../../core/limits.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { machineIdSchema } from "../../protocol/ids.ts";
import { isDryRun } from "../audit.ts";
import { readJsonBody } from "../body.ts";
import type { AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { validate } from "../validate.ts";

/** `/v1/admin/machines/orders`: one order for many machines, with what came of it for each. */

const text = z.string().min(1).max(256).optional();

const whereSchema = z
  .strictObject({
    owner: text,
    chip: text,
    assigned_model: z.string().min(1).max(256).nullable().optional(),
    has_model: text,
    token_id: text,
    cordoned: z.boolean().optional(),
    quarantined: z.boolean().optional(),
  })
  .refine(
    (where) => Object.keys(where).length > 0,
    "needs at least one property; to select all machines, name them in machines",
  );

const bodySchema = z.strictObject({
  order: z.enum(BULK_ORDERS),
  model_id: text,
  machines: z.array(machineIdSchema).min(1).max(BULK_MACHINES_MAX).optional(),
  where: whereSchema.optional(),
});

export const bulkOrders = new Hono<AppEnv>().post("/", async (context) => {
  const dryRun = context.req.query("dry_run") ?? "false";
  if (dryRun !== "true" && dryRun !== "false") throw problem("dry_run", "true or false");
  const bulk = bulkOf((await readJsonBody(context.req.raw)).json, isDryRun(context));
  const verdict = await fleetStub(context.env).orderMany(bulk);
  if (!verdict.ok) throw new HttpError(verdict.error);
  const { order, modelId } = bulk;
  const accepted = idsOf(verdict.machines.filter(({ error }) => error === null));
  const refused = idsOf(verdict.machines.filter(({ error }) => error !== null));
  const model = modelId === null ? {} : { model_id: modelId };
  context.set("difference", difference(null, { order, ...model, accepted, refused }));
  const answer = {
    order,
    ...model,
    dry_run: bulk.isDryRun,
    accepted: accepted.length,
    refused: refused.length,
    machines: verdict.machines.map(orderedRow),
    waiting_for: verdict.waitingFor,
  };
  return context.json(answer, bulk.isDryRun || answer.accepted === 0 ? 200 : 202);
});

function idsOf(machines: readonly OrderedMachine[]): readonly string[] {
  return machines.map(({ machineId }) => machineId);
}

/** @throws HttpError 400 */
function bulkOf(json: unknown, isDry: boolean): BulkOrder {
  const { order, model_id, machines, where } = validate(bodySchema, json);
  if (order === "pin" && model_id === undefined) throw problem("model_id", "a pin needs a model");
  if (order !== "pin" && model_id !== undefined) throw problem("model_id", "only a pin takes a model");
  const chosen = machines ?? where;
  if (chosen === undefined) throw problem("machines", "name them, or say in where how they are");
  if (machines !== undefined && where !== undefined) {
    throw problem("where", "cannot stand beside machines; leave one of the two out");
  }
  return { order, modelId: model_id ?? null, machines: chosen, isDryRun: isDry };
}

function problem(param: string, what: string): HttpError {
  return new HttpError({ code: "invalid_request", param, message: `${param}: ${what}` });
}

function orderedRow({ machineId, from, epoch, error }: OrderedMachine): object {
  return {
    machine_id: machineId,
    ok: error === null,
    from,
    epoch,
    error: error === null ? null : { code: error.code, message: error.message },
  };
}
