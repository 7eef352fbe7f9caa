import { Hono } from "hono";

import { OVERLOAD_WAIT_S } from "../core/limits.ts";
import { logError, logWarning } from "../durable-objects/log.ts";
import { PROTOCOL_VERSION } from "../protocol/version.ts";
import { anthropicClients } from "./anthropic/clients.ts";
import { heldBodies } from "./body-room.ts";
import { browsers } from "./browsers.ts";
import { CachedRouter } from "./cached-router.ts";
import type { AppEnv } from "./context.ts";
import { errorResponse, HttpError } from "./http-error.ts";
import { isOverloaded, isPlatformFault } from "./object-fault.ts";
import { echoedRequestId, newRequestId } from "./request-id.ts";
import { admin } from "./routes/admin.ts";
import { capacity } from "./routes/capacity.ts";
import { chatCompletions } from "./routes/chat-completions.ts";
import { completions } from "./routes/completions.ts";
import { dashboard } from "./routes/dashboard.ts";
import { embeddings } from "./routes/embeddings.ts";
import { messages } from "./routes/messages.ts";
import { metrics } from "./routes/metrics.ts";
import { models } from "./routes/models.ts";
import { providers } from "./routes/providers.ts";
import { responses } from "./routes/responses.ts";
import { status } from "./routes/status.ts";
import { readUnreadBody } from "./unread-body.ts";
import { providerVersions } from "./version.ts";

/**
 * The edge: one Hono app. Errors of every route come out in OpenAI's envelope, here and nowhere else, and
 * go on in Anthropic's to its clients.
 */
export const app = new Hono<AppEnv>({ router: new CachedRouter() })
  .use(readUnreadBody)
  .use(heldBodies)
  .use(async function requestIds(context, next) {
    const requestId = newRequestId();
    context.set("requestId", requestId);
    const echoedId = echoedRequestId(context.req.header("x-request-id"), requestId);
    context.set("echoedId", echoedId);
    await next();
    // A pool has set it already, and its response must stay as it is; so must an upgrade.
    const { res } = context;
    if (res.status !== 101 && !res.headers.has("x-request-id")) context.header("x-request-id", echoedId);
  })
  .use("/v1/:api{chat|completions|embeddings|responses|messages|models}/*", browsers)
  .use("/v1/:api{messages|models}/*", anthropicClients)
  .get("/health", (context) => context.json({ status: "ok" }))
  .get("/version", async (context) =>
    context.json({ provider: await providerVersions(context.env), protocol: PROTOCOL_VERSION }),
  )
  .route("/metrics", metrics)
  .route("/dashboard", dashboard)
  .route("/status", status)
  .route("/v1/chat/completions", chatCompletions)
  .route("/v1/completions", completions)
  .route("/v1/embeddings", embeddings)
  .route("/v1/responses", responses)
  .route("/v1/messages", messages)
  .route("/v1/models/capacity", capacity)
  .route("/v1/models", models)
  .route("/v1/providers", providers)
  .route("/v1/admin", admin);

app.notFound((context) => {
  const { method, path } = context.req;
  const allowed = METHODS.filter((candidate) => isRouted(candidate, path));
  if (allowed.length > 0) {
    const allow = allowed.join(", ");
    const message = `${path} does not take ${method}, only ${allow}`;
    const response = errorResponse({ code: "method_not_allowed", message }, context.get("echoedId"));
    response.headers.set("allow", allow);
    return response;
  }
  return errorResponse(
    { code: "not_found", message: `no route for ${method} ${path}${suggestion(path)}` },
    context.get("echoedId"),
  );
});

app.onError((error, context) => {
  const echoedId = context.get("echoedId");
  if (error instanceof HttpError) return errorResponse(error.apiError, echoedId);
  if (isPlatformFault(error)) {
    logWarning("object_unreachable", { requestId: context.get("requestId"), error: String(error) });
    const message = "a part of the coordinator is restarting or has too much to do; try again";
    return errorResponse(
      { code: "try_again", message, retryAfterS: isOverloaded(error) ? OVERLOAD_WAIT_S : 1 },
      echoedId,
    );
  }
  logError("internal_error", {
    requestId: context.get("requestId"),
    error: error.stack ?? String(error),
  });
  return errorResponse(
    { code: "internal", message: `internal error; quote the request id ${echoedId}` },
    echoedId,
  );
});

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/**
 * Base URLs without `/v1`, with two of them or with a slash too many are the commonest slips in a client's settings; people
 * begin at `/`.
 */
function suggestion(path: string): string {
  const rest = path
    .replaceAll(/\/{2,}/g, "/")
    .replace(/^(\/v1)+/, "")
    .replace(/\/$/, "");
  if (rest === "") return "; the API for clients begins with /v1, the operator's page is /dashboard";
  const meant = [`/v1${rest}`, rest].find(
    (candidate) => candidate !== path && METHODS.some((method) => isRouted(method, candidate)),
  );
  return meant === undefined ? "" : `; did you mean ${meant}?`;
}

/** Whether a route is there for the method; middleware is there for all. */
function isRouted(method: string, path: string): boolean {
  const [found] = app.router.match(method, path);
  return found.some(([[, route]]) => route.method === method);
}
