import type { MiddlewareHandler } from "hono";

import type { AppContext, AppEnv } from "./context.ts";
import { HttpError } from "./http-error.ts";
import { sameSecret, verifySecret } from "./secrets.ts";

/** The secret of an `Authorization: Bearer ...` header. */
export function bearer(context: AppContext): string | null {
  const header = context.req.header("authorization") ?? "";
  return /^bearer /i.test(header) ? header.slice(7).trim() : null;
}

/** Passes on only requests that carry a valid API key. */
export const requireApiKey: MiddlewareHandler<AppEnv> = async function requireApiKey(context, next) {
  await checkApiKey(context, bearer(context), "`Authorization: Bearer <key>`");
  await next();
};

/** The same where clients of Anthropic's API come too: these may send the key in a header of its own. */
export const requireKeyOfEitherHeader: MiddlewareHandler<AppEnv> = async function requireKeyOfEitherHeader(
  context,
  next,
) {
  // Empty is what a client sends that has none.
  const secret = bearer(context) ?? (context.req.header("x-api-key") || null);
  await checkApiKey(context, secret, "`x-api-key: <key>` or `Authorization: Bearer <key>`");
  await next();
};

/** @param how it must be sent. */
async function checkApiKey(context: AppContext, secret: string | null, how: string): Promise<void> {
  if (secret === null) {
    throw new HttpError({ code: "invalid_api_key", message: `no API key: send it as ${how}` });
  }
  const record = await verifySecret(context.env.KEYS, "key", secret, Date.now());
  if (record === null) {
    const message = secret.startsWith("pt_")
      ? "this is a provider token, not an API key"
      : "this API key is not known; was it deleted?";
    throw new HttpError({ code: "invalid_api_key", message });
  }
  context.set("key", record);
}

/** Passes on only requests that carry the admin token. */
export const requireAdmin: MiddlewareHandler<AppEnv> = async function requireAdmin(context, next) {
  const expected = context.env.ADMIN_TOKEN;
  if (typeof expected !== "string" || expected === "") {
    throw new HttpError({
      code: "forbidden",
      message: "the admin API is closed: set the secret ADMIN_TOKEN (`wrangler secret put ADMIN_TOKEN`)",
    });
  }
  const secret = bearer(context);
  if (secret === null || !(await sameSecret(secret, expected))) {
    const given = secret === null ? "" : "; what was sent is not it";
    throw new HttpError({
      code: "invalid_api_key",
      message: `the admin API wants \`Authorization: Bearer <admin token>\`${given}`,
    });
  }
  await next();
};
