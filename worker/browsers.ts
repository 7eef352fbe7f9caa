import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";

import type { AppEnv } from "./context.ts";

/**
 * Lets pages of any origin call the clients' API. Keys travel in a header that a page must set itself and never in
 * cookies, so there is nothing that a foreign page could borrow. Requests that no page sends go on untouched, and with
 * them the response that the pool made; for a page its body is passed on, under more headers. Pages open no WebSockets
 * here, since they cannot give them a key; other clients do, and some name an origin.
 */
const allowPages = cors({
  origin: "*",
  allowMethods: ["GET", "POST", "DELETE"],
  // All of them; named are those that SDKs read, for browsers that do not know the asterisk.
  exposeHeaders: ["x-request-id", "request-id", "retry-after", "x-pool-reason", "*"],
  maxAge: 86_400,
});

export const browsers: MiddlewareHandler<AppEnv> = async function browsers(context, next) {
  const { req } = context;
  if (req.header("origin") === undefined || req.header("upgrade") !== undefined) return next();
  // A page's own network panel shows `server-timing` of another origin only so.
  context.header("timing-allow-origin", "*");
  return allowPages(context, next);
};
