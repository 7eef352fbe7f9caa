import { exports } from "cloudflare:workers";

import { RESPONSES_CONNECTION_MS } from "../../core/limits.ts";
import type { AppContext } from "../context.ts";
import { HttpError } from "../http-error.ts";
import { ROUTE_HEADER } from "../owner-routes.ts";
import { ResponsesConnection } from "../responses-connection.ts";

/**
 * `GET /v1/responses` with an upgrade: the Responses API over a WebSocket that this Worker holds. Each request on it is
 * a `POST /v1/responses` of the Worker to itself, with the headers of the upgrade. So whatever holds for a POST holds
 * for it: the check of the key, and that it is taken back when its client leaves.
 * @throws HttpError 426
 */
export function openResponsesWebSocket(context: AppContext): Response {
  const { req, executionCtx } = context;
  if (req.header("upgrade")?.toLowerCase() !== "websocket") {
    throw new HttpError({
      code: "upgrade_required",
      message: "GET is for WebSocket upgrades here; or use POST",
    });
  }
  const headers = new Headers({ "content-type": "application/json" });
  for (const name of ["authorization", ROUTE_HEADER]) {
    const value = req.header(name);
    if (value !== undefined) headers.set(name, value);
  }
  const { 0: client, 1: socket } = new WebSocketPair();
  const connection = new ResponsesConnection(socket, (body, signal) =>
    exports.default.fetch(new Request(req.url, { method: "POST", headers, body, signal })),
  );
  socket.addEventListener("message", ({ data }) => {
    executionCtx.waitUntil(connection.receive(typeof data === "string" ? data : ""));
  });
  for (const type of ["close", "error"] as const) socket.addEventListener(type, () => connection.close());
  socket.accept();
  executionCtx.waitUntil(expire(connection));
  return new Response(null, { status: 101, webSocket: client });
}

async function expire(connection: ResponsesConnection): Promise<void> {
  try {
    await scheduler.wait(RESPONSES_CONNECTION_MS, { signal: connection.over });
  } catch {
    return;
  }
  connection.expire();
}
