import type { MiddlewareHandler } from "hono";

import type { AppContext, AppEnv } from "../context.ts";
import { toAnthropicError } from "./error-envelope.ts";

/** Whether a request to a route that both kinds of clients know comes from one of Anthropic's API. */
export function speaksAnthropic({ req }: AppContext): boolean {
  return req.path.startsWith("/v1/messages") || req.header("anthropic-version") !== undefined;
}

/** For clients of Anthropic's API: errors in its envelope, and the request's id under its name as well. */
export const anthropicClients: MiddlewareHandler<AppEnv> = async function anthropicClients(context, next) {
  await next();
  if (!speaksAnthropic(context)) return;
  const requestId = context.get("echoedId");
  if (!context.res.ok) {
    const response = await inAnthropicWords(context.res, requestId);
    // The headers of what was there before would come back otherwise.
    context.res = undefined;
    context.res = response;
  }
  context.header("request-id", requestId);
};

async function inAnthropicWords(response: Response, requestId: string): Promise<Response> {
  const { status } = response;
  const body = JSON.stringify(toAnthropicError(await response.text(), requestId));
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  // Claude Code takes a 401 for an expired token, and retries without end.
  if (status < 500 && status !== 429) headers.set("x-should-retry", "false");
  return new Response(body, { status, headers });
}
