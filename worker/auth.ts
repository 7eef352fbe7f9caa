import type { MiddlewareHandler } from "hono";

import type { AppContext, AppEnv } from "./context.ts";
import { HttpError } from "./http-error.ts";
import { kindOfSecret, sameSecret, verifySecret, type SecretKind } from "./secrets.ts";

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
    const other = await otherSecret(context, secret, "key");
    const message =
      other === null
        ? "this API key is not known; was it deleted?"
        : `this is ${other}, and an API key is wanted (it begins with pk_)`;
    throw new HttpError({ code: "invalid_api_key", message });
  }
  context.set("key", record);
}

/**
 * What was sent instead of what is wanted, if it is another of our secrets: most who are refused have mixed them up. Who sends
 * the admin token where it is not wanted could as well try it where it is.
 * @param wanted null for the admin token.
 */
export async function otherSecret(
  { env }: AppContext,
  secret: string,
  wanted: SecretKind | null,
): Promise<string | null> {
  const kind = kindOfSecret(secret);
  if (kind !== null && kind !== wanted) return kind === "key" ? "an API key" : "a provider token";
  const admin = env.ADMIN_TOKEN;
  if (wanted === null || typeof admin !== "string" || admin === "") return null;
  return (await sameSecret(secret, admin)) ? "the admin token" : null;
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
    const other = secret === null ? null : await otherSecret(context, secret, null);
    const given = secret === null ? "" : other === null ? "; what was sent is not it" : `; this is ${other}`;
    throw new HttpError({
      code: "invalid_api_key",
      message: `the admin API wants \`Authorization: Bearer <admin token>\`${given}`,
    });
  }
  context.set("operator", { tokenId: null, name: "ADMIN_TOKEN" });
  await next();
};
