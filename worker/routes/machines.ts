import { Hono } from "hono";
import { z } from "zod";

import type { ApiError } from "../../core/api-error.ts";
import type { Difference } from "../../core/audit.ts";
import { unknownMachine } from "../../core/fleet/directory.ts";
import type { MachineDetails } from "../../core/fleet/machine-details.ts";
import type { Env } from "../../durable-objects/env.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import type { MachineVerdict } from "../../durable-objects/machine-orders.ts";
import { machineIdSchema } from "../../protocol/ids.ts";
import { readJsonBody } from "../body.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { validate } from "../validate.ts";
import { bulkOrders } from "./bulk-orders.ts";

/** `/v1/admin/machines`: what each machine does and why, and an operator's orders about it. */

type Accepted = { readonly ok: true; readonly difference: Difference };
type Refused = { readonly ok: false; readonly error: ApiError };

const pinSchema = z.strictObject({ model_id: z.string().min(1) });

export const machines = new Hono<AppEnv>()
  .route("/orders", bulkOrders)
  .get("/", async (context) => context.json({ machines: await fleetStub(context.env).machines() }))
  .get("/:id", async (context) => {
    const id = machineId(context);
    return context.json(await readMachine(context.env, id));
  })
  .delete("/:id", async (context) => {
    const verdict = await fleetStub(context.env).removeMachine(machineId(context));
    requireAccepted(context, verdict);
    return context.json({ machine_id: verdict.machineId, deleted: true });
  })
  .post("/:id/pin", async (context) => {
    const id = machineId(context);
    const { model_id } = validate(pinSchema, (await readJsonBody(context.req.raw)).json);
    const verdict = await fleetStub(context.env).pin(id, model_id);
    requireAccepted(context, verdict);
    return context.json(
      { machine_id: verdict.machineId, model_id: verdict.modelId, epoch: verdict.epoch },
      202,
    );
  })
  .post("/:id/unpin", (context) => answer(context, fleetStub(context.env).unpin(machineId(context))))
  .post("/:id/release", (context) => answer(context, fleetStub(context.env).release(machineId(context))))
  .post("/:id/cordon", (context) => cordon(context, true))
  .post("/:id/uncordon", (context) => cordon(context, false))
  .post("/:id/quarantine", (context) =>
    answer(context, fleetStub(context.env).quarantine(machineId(context))),
  )
  .post("/:id/readmit", (context) => answer(context, fleetStub(context.env).readmit(machineId(context))));

/** @throws HttpError 404 if no such machine has registered, or if it was deleted since */
export async function readMachine(env: Env, id: string): Promise<MachineDetails> {
  const machine = await fleetStub(env).machine(id);
  if (machine !== null) return machine;
  throw new HttpError(unknownMachine(id));
}

/** @throws HttpError what the fleet says against it */
function requireAccepted(context: AppContext, verdict: Accepted | Refused): asserts verdict is Accepted {
  if (!verdict.ok) throw new HttpError(verdict.error);
  context.set("difference", verdict.difference);
}

async function answer(context: AppContext, asked: Promise<MachineVerdict>): Promise<Response> {
  const verdict = await asked;
  requireAccepted(context, verdict);
  return context.json({ machine_id: verdict.machineId, epoch: verdict.epoch }, 202);
}

async function cordon(context: AppContext, isCordoned: boolean): Promise<Response> {
  const verdict = await fleetStub(context.env).cordon(machineId(context), isCordoned);
  requireAccepted(context, verdict);
  const { epoch, waitingFor } = verdict;
  return context.json({ machine_id: verdict.machineId, epoch, waiting_for: waitingFor }, 202);
}

function machineId(context: AppContext): string {
  const parsed = machineIdSchema.safeParse(context.req.param("id"));
  if (parsed.success) return parsed.data;
  throw new HttpError({ code: "not_found", message: "there is no machine with such an id" });
}
