import { Hono } from "hono";
import { etag } from "hono/etag";

import type { AppEnv } from "../context.ts";
import { DASHBOARD_FILES, DASHBOARD_PAGE } from "../dashboard-files.ts";
import { HttpError } from "../http-error.ts";

/**
 * `GET /dashboard`, the operator's page. It is the same for everybody and holds nothing of the fleet: its script asks
 * the admin API with the token that the operator types in.
 *
 * The policy lets the page run its own files, talk to its own coordinator, and nothing else; text cannot become markup
 * anywhere in it.
 */
const HEADERS = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  // Revalidated each time, so that a page never mixes files of two deploys.
  "cache-control": "no-cache",
};

const TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

export const dashboard = new Hono<AppEnv>()
  .use(etag())
  .get("/", (context) =>
    context.body(DASHBOARD_PAGE, 200, { ...HEADERS, "content-type": "text/html; charset=utf-8" }),
  )
  .get("/:file", (context) => {
    const file = context.req.param("file");
    const text = DASHBOARD_FILES.get(file);
    if (text === undefined)
      throw new HttpError({ code: "not_found", message: `the dashboard has no ${file}` });
    const type = TYPES[file.slice(file.lastIndexOf(".") + 1)] ?? "text/plain";
    return context.body(text, 200, { ...HEADERS, "content-type": type });
  });
