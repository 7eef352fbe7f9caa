import type { MiddlewareHandler } from "hono";
import { cors } from "hono/cors";

import type { AppEnv } from "./context.ts";

/**
 * CORS: lets pages of any origin call the client API. Keys are sent in a header that the page sets itself and never in
 * cookies, so a foreign page has no credentials to abuse. Requests without an `Origin` pass through unchanged, so that the
 * pool's response stays as it is. WebSocket upgrades pass as well: browsers cannot send a key with them, but other
 * clients can, and some of those set an `Origin`.
 */
const allowPages = cors({
  origin: "*",
  allowMethods: ["GET", "POST", "DELETE"],
  // The headers that SDKs read are named for browsers that do not support `*`.
  exposeHeaders: ["x-request-id", "request-id", "retry-after", "x-pool-reason", "*"],
  maxAge: 86_400,
});

export const browsers: MiddlewareHandler<AppEnv> = async function browsers(context, next) {
  const { req } = context;
  if (req.header("origin") === undefined || req.header("upgrade") !== undefined) return next();
  // Without it, browsers hide `server-timing` of another origin.
  context.header("timing-allow-origin", "*");
  return allowPages(context, next);
};
