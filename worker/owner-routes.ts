import type { OwnedMachine } from "../core/fleet/owned-machines.ts";
import { FLEET_ANSWER_TIMEOUT_MS, OWNED_MACHINES_TTL_MS } from "../core/limits.ts";
import type { OwnerRoute } from "../core/pool/owner-route.ts";
import type { EdgeCall } from "../durable-objects/edge-call.ts";
import type { Env } from "../durable-objects/env.ts";
import { fleetStub } from "../durable-objects/fleet-stub.ts";
import { logWarning } from "../durable-objects/log.ts";
import { answerWithin } from "./answer-within.ts";
import { HttpError } from "./http-error.ts";
import { callPool, PoolOverloaded } from "./pool-client.ts";
import { TtlCache } from "./ttl-cache.ts";

/**
 * Requests for the caller's own machines (H21): `self` uses only those, `prefer` tries those first. Fleet says which pools
 * the machines are in, the only read on such a request's path; the pools know whether they can serve.
 */

export const ROUTE_HEADER = "x-pool-route";

export type RoutePreference = "public" | "self" | "prefer";

/** @throws HttpError 400 for an unknown value */
export function readRoutePreference(header: string | undefined): RoutePreference {
  if (header === undefined) return "public";
  if (header === "self" || header === "prefer") return header;
  throw new HttpError({
    code: "invalid_request",
    param: ROUTE_HEADER,
    message: `${ROUTE_HEADER} must be "self" or "prefer", or be left out`,
  });
}

/**
 * Tries the pools of the owner's machines one after the other. Each but the last declines at once if it cannot serve now;
 * in the last one the request may wait.
 * @throws HttpError 503 if no machine of the owner has the model, or if the fleet does not answer for `self`
 */
export async function callOwnMachines(
  env: Env,
  owner: string,
  preference: "self" | "prefer",
  call: EdgeCall,
  body: string,
): Promise<Response> {
  const machines = await machinesWith(env, owner, preference, call);
  const steps = preference === "self" ? stepsOfSelf(machines, call) : stepsOfPrefer(machines, call);
  const last = steps.pop();
  if (last === undefined) {
    const message = `no machine of yours has "${call.model}"`;
    throw new HttpError({ code: "machine_offline", message, retryAfterS: 10 });
  }
  for (const { pool, route } of steps) {
    const response = await callUnlessBusy(env, pool, { ...call, owner: route }, body);
    if (response !== null) return response;
  }
  return callPool(env, last.pool, { ...call, owner: last.route }, body);
}

/** Null if the pool declines, or if the platform does not let the request in to it. */
async function callUnlessBusy(
  env: Env,
  pool: string,
  call: EdgeCall,
  body: string,
): Promise<Response | null> {
  try {
    const response = await callPool(env, pool, call, body);
    return response.headers.get("x-pool-reason") === "machine_busy" ? null : response;
  } catch (error) {
    if (error instanceof PoolOverloaded) return null;
    throw error;
  }
}

interface Step {
  readonly pool: string;
  readonly route: OwnerRoute | null;
}

function stepsOfSelf(machines: readonly OwnedMachine[], call: EdgeCall): Step[] {
  const pools = poolsOf(machines, call);
  return pools.map((pool, index) =>
    stepTo(pool, index < pools.length - 1 ? "decline" : "wait", machines, call),
  );
}

/** The public pool comes last; it may be one of the machines' pools (F10). */
function stepsOfPrefer(machines: readonly OwnedMachine[], call: EdgeCall): Step[] {
  const pools = poolsOf(machines, call);
  const here = stepTo(call.model, "public", machines, call);
  if (pools.every((pool) => pool === call.model)) return [here];
  return [...pools.map((pool) => stepTo(pool, "decline", machines, call)), here];
}

/** The requested model's pool first: machines there need not swap models. */
function poolsOf(machines: readonly OwnedMachine[], { model }: EdgeCall): string[] {
  const pools = new Set<string>(machines.map(({ pool }) => pool ?? model));
  return [...pools].toSorted((a, b) => Number(b === model) - Number(a === model));
}

function stepTo(
  pool: string,
  otherwise: OwnerRoute["otherwise"],
  machines: readonly OwnedMachine[],
  { model }: EdgeCall,
): Step {
  const here = machines.filter((machine) => (machine.pool ?? model) === pool);
  if (here.length === 0) return { pool, route: null };
  const isSwitching = here.some((machine) => machine.isSwitching);
  const ids = here.slice(0, MACHINES_MAX).map(({ machineId }) => machineId);
  return { pool, route: { machines: new Set(ids), otherwise, isSwitching } };
}

/** They are sent to the pool in a header. */
const MACHINES_MAX = 200;

/** The owner's machines that have the requested model on disk. If the fleet does not answer, `prefer` goes on without. */
async function machinesWith(
  env: Env,
  owner: string,
  preference: "self" | "prefer",
  { model }: EdgeCall,
): Promise<readonly OwnedMachine[]> {
  const machines = await readMachines(env, owner, Date.now());
  if (machines !== null) return machines.filter(({ models }) => models.includes(model));
  if (preference === "prefer") return [];
  throw new HttpError({
    code: "try_again",
    message: "it cannot be found out at the moment where your machines are; try again",
    retryAfterS: 1,
  });
}

/**
 * Machines by owner. Only completed answers are cached, never pending promises: the platform treats a request that only
 * waits for another request's I/O as hung.
 */
const known = new TtlCache<readonly OwnedMachine[]>(OWNED_MACHINES_TTL_MS, 1_000);

async function readMachines(env: Env, owner: string, now: number): Promise<readonly OwnedMachine[] | null> {
  const cached = known.get(owner, now);
  if (cached !== undefined) return cached;
  const machines = await askFleet(env, owner);
  if (machines !== null) known.set(owner, machines, now);
  return machines;
}

async function askFleet(env: Env, owner: string): Promise<readonly OwnedMachine[] | null> {
  try {
    const asked = fleetStub(env).machinesOf(owner);
    return await answerWithin<readonly OwnedMachine[]>(FLEET_ANSWER_TIMEOUT_MS, asked);
  } catch (error) {
    logWarning("fleet_unreachable", { owner, error: String(error) });
    return null;
  }
}
