import type { MiddlewareHandler } from "hono";

import { auditPath, NO_DIFFERENCE, type AskedCall, type CallOutcome } from "../core/audit.ts";
import { fleetStub } from "../durable-objects/fleet-stub.ts";
import { logError, logWarning } from "../durable-objects/log.ts";
import type { AppContext, AppEnv } from "./context.ts";
import { HttpError } from "./http-error.ts";
import { maskSecrets } from "./secret-texts.ts";

/**
 * Writes every change that operators ask for into the log of changes: before it is made, and what came of it after that. What
 * cannot be written there is not done. If its end cannot be written, the row stays without one, and says that nobody knows.
 */
export const audited: MiddlewareHandler<AppEnv> = async function audited(context, next) {
  if (!isChange(context)) return next();
  if (context.get("operator").scope === "read") throw await refuseReader(context);
  const id = await writeAsked(context);
  await next();
  await writeOutcome(context, id);
};

const MANY_MACHINES = "/v1/admin/machines/orders";

const READING = new Set(["GET", "HEAD", "OPTIONS"]);

/** Whether it may change anything: all that is not known to change nothing. */
function isChange(context: AppContext): boolean {
  const { method, path } = context.req;
  if (READING.has(method)) return false;
  const isSimulation = path === "/v1/admin/placement/simulate";
  const isComputation = isSimulation || (path === MANY_MACHINES && isDryRun(context));
  return method !== "POST" || !isComputation;
}

/** Whether it is only asked what would come of an order. */
export function isDryRun({ req }: AppContext): boolean {
  return req.query("dry_run") === "true";
}

/** That somebody tried is worth a row, though not without fail: nothing changes. */
async function refuseReader(context: AppContext): Promise<HttpError> {
  const { name } = context.get("operator");
  const message = `the token "${name}" may only read; changes want one with the scope "admin"`;
  const refusal = new HttpError({ code: "read_only_token", message });
  const outcome: CallOutcome = { status: 403, code: "read_only_token", ...NO_DIFFERENCE };
  try {
    const fleet = fleetStub(context.env);
    const id = await fleet.changeAsked(callOf(context));
    if (id !== null) await fleet.changeAnswered(id, outcome);
  } catch (error) {
    logWarning("fleet_unreachable", { error: String(error) });
  }
  return refusal;
}

/** @throws HttpError 503: nothing may be changed of which nobody could know later; 401 with a token that was revoked */
async function writeAsked(context: AppContext): Promise<number> {
  const id = await fleetStub(context.env)
    .changeAsked(callOf(context))
    .catch((error: unknown) => {
      logWarning("fleet_unreachable", { error: String(error) });
      const message = "nothing was changed, since it could not be written to the log of changes; try again";
      throw new HttpError({ code: "try_again", message, retryAfterS: 10 });
    });
  if (id !== null) return id;
  // KV may go on handing the token out for a minute; the fleet knows better.
  throw new HttpError({ code: "invalid_api_key", message: "this admin token was revoked" });
}

function callOf(context: AppContext): AskedCall {
  const { tokenId, name } = context.get("operator");
  const { req } = context;
  return {
    requestId: context.get("echoedId"),
    tokenId,
    tokenName: name,
    address: addressOf(req.header("cf-connecting-ip")),
    method: req.method,
    path: auditPath(maskSecrets(`${req.path}${new URL(req.url).search}`, context.env.ADMIN_TOKEN)),
  };
}

/** Outside of the platform anybody may have written the header. */
function addressOf(header: string | undefined): string | null {
  return header !== undefined && /^[0-9a-f:.]{2,45}$/i.test(header) ? header : null;
}

async function writeOutcome(context: AppContext, id: number): Promise<void> {
  const { status } = context.res;
  const { error } = context;
  const code = error instanceof HttpError ? error.apiError.code : error === undefined ? null : "internal";
  const outcome: CallOutcome = { status, code, ...(context.get("difference") ?? NO_DIFFERENCE) };
  try {
    await fleetStub(context.env).changeAnswered(id, outcome);
  } catch (problem) {
    // The change is made, or refused: whoever asked for it has to hear that.
    logError("change_without_outcome", { row: id, status, code, error: String(problem) });
  }
}
