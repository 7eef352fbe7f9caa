import { Hono } from "hono";
import { z } from "zod";

import type { DialVerdict } from "../../core/fleet/admissions.ts";
import { REVOKED_TOKEN } from "../../core/fleet/dial-policy.ts";
import type { MachineDetails } from "../../core/fleet/machine-details.ts";
import { FLEET_ANSWER_TIMEOUT_MS } from "../../core/limits.ts";
import { encodeDial, type Dialer } from "../../durable-objects/dial.ts";
import type { Env } from "../../durable-objects/env.ts";
import { fleetStub } from "../../durable-objects/fleet-stub.ts";
import { logWarning } from "../../durable-objects/log.ts";
import { poolStub } from "../../durable-objects/pool-stub.ts";
import { machineIdSchema, modelIdSchema, type MachineId, type ModelId } from "../../protocol/ids.ts";
import { SUBPROTOCOL } from "../../protocol/version.ts";
import { answerWithin } from "../answer-within.ts";
import { bearer, otherSecret } from "../auth.ts";
import { requireModel } from "../catalog.ts";
import type { AppContext, AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";
import type { KeyRecord } from "../key-records.ts";
import { machineWork } from "../machine-work.ts";
import { flawOf, isRevokedToken, verifySecret } from "../secrets.ts";
import { validate } from "../validate.ts";

/**
 * `GET /v1/providers/connect` checks a dial, asks the fleet where it belongs, and hands the upgrade to that pool.
 * `GET /v1/providers/explain` tells a machine why it gets no requests, `GET /v1/providers/usage` what it has answered.
 */
export const providers = new Hono<AppEnv>()
  .get("/connect", (context) => connect(context))
  .get("/explain", (context) => explain(context))
  .get("/usage", (context) => usage(context));

async function connect(context: AppContext): Promise<Response> {
  const { req, env } = context;
  if (req.header("upgrade")?.toLowerCase() !== "websocket") {
    throw new HttpError({
      code: "upgrade_required",
      message: "this address is for WebSocket upgrades of providers",
    });
  }
  const offered = (req.header("sec-websocket-protocol") ?? "").split(",").map((name) => name.trim());
  if (!offered.includes(SUBPROTOCOL)) {
    throw new HttpError({ code: "unsupported_protocol", message: `offer the subprotocol ${SUBPROTOCOL}` });
  }
  const record = await requireToken(context);
  const machineId = requireMachineId(context);
  const named = req.query("pool");
  const dialer: Dialer = { machineId, owner: record.owner, tokenId: record.id };
  const pool = named === undefined ? null : await requirePool(context, dialer, named);
  const verdict = await askFleet(env, dialer, pool);
  if (!verdict.ok) throw new HttpError(verdict.error);
  const dial = { ...dialer, stamp: verdict.stamp };
  return poolStub(env, verdict.pool).fetch(encodeDial(req.raw, dial));
}

async function explain(context: AppContext): Promise<Response> {
  const machine = await requireOwnMachine(context);
  const { machine_id: machineId, state, explanation, stays_because, useful_models, advice } = machine;
  return context.json({
    machine_id: machineId,
    state,
    ...explanation,
    stays_because,
    useful_models,
    advice,
  });
}

/** What the machine has answered, by model and day. */
async function usage(context: AppContext): Promise<Response> {
  const { machine_id, owner, models } = await requireOwnMachine(context);
  return context.json({ machine_id, usage: await machineWork(context, machine_id, owner, models) });
}

/** @throws HttpError 404, also for a machine of another owner: nobody learns which ids others have taken. */
async function requireOwnMachine(context: AppContext): Promise<MachineDetails> {
  const { owner } = await requireToken(context);
  const machineId = requireMachineId(context);
  const machine = await fleetStub(context.env).machine(machineId);
  if (machine !== null && machine.owner === owner) return machine;
  throw new HttpError({ code: "not_found", message: `you have no machine with the id "${machineId}"` });
}

async function requireToken(context: AppContext): Promise<KeyRecord> {
  const { KEYS } = context.env;
  const token = bearer(context);
  const record = token === null ? null : await verifySecret(KEYS, "token", token, Date.now());
  if (record !== null) return record;
  if (token !== null && (await isRevokedToken(KEYS, token))) {
    throw new HttpError({ code: "machine_not_allowed", message: REVOKED_TOKEN });
  }
  throw new HttpError({ code: "invalid_provider_token", message: await whyNoToken(context, token) });
}

async function whyNoToken(context: AppContext, token: string | null): Promise<string> {
  if (token === null) return "no provider token: send it as `Authorization: Bearer <token>`";
  const other = await otherSecret(context, token, "token");
  return other === null
    ? (flawOf("token", token) ?? "this provider token is not known; ask the operator for one")
    : `this is ${other}, and a provider token is wanted (it begins with pt_)`;
}

/** The model that a dial names. If it is in no catalog, the fleet hears who wanted it: its operator can add it. */
async function requirePool(
  { env, executionCtx }: AppContext,
  dialer: Dialer,
  named: string,
): Promise<ModelId> {
  try {
    return (await requireModel(env, named, "pool")).id;
  } catch (error) {
    const model = modelIdSchema.safeParse(named);
    if (model.success && error instanceof HttpError && error.apiError.code === "model_not_found") {
      executionCtx.waitUntil(tellFleet(env, dialer, model.data));
    }
    throw error;
  }
}

async function tellFleet(env: Env, dialer: Dialer, model: ModelId): Promise<void> {
  try {
    await fleetStub(env).refusedDial(dialer, model);
  } catch (error) {
    logWarning("fleet_unreachable", { machineId: dialer.machineId, error: String(error) });
  }
}

const addressSchema = z.object({ machine: machineIdSchema });

function requireMachineId({ req }: AppContext): MachineId {
  return validate(addressSchema, { machine: req.query("machine") }).machine;
}

/**
 * The fleet's word on a dial. If it does not answer, the dial goes where the provider asked to go: a managed machine
 * names its own pool, which knows by its own record whether it may serve (H19).
 */
async function askFleet(env: Env, dialer: Dialer, pool: ModelId | null): Promise<DialVerdict> {
  try {
    return await answerWithin<DialVerdict>(FLEET_ANSWER_TIMEOUT_MS, fleetStub(env).dial(dialer, pool));
  } catch (error) {
    logWarning("fleet_unreachable", { machineId: dialer.machineId, error: String(error) });
  }
  if (pool !== null) return { ok: true, pool, stamp: { mode: "unknown" } };
  const message = "the fleet does not answer; dial again";
  return { ok: false, error: { code: "try_again", message, retryAfterS: 1 } };
}
