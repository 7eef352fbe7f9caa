import type { MiddlewareHandler } from "hono";

import type { Env } from "../durable-objects/env.ts";
import type { AppContext, AppEnv, Operator } from "./context.ts";
import { HttpError } from "./http-error.ts";
import type { SecretKind } from "./key-records.ts";
import { flawOf, kindOfSecret, sameSecret, verifySecret } from "./secrets.ts";

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

/** The same for routes of Anthropic's API, whose clients may send the key as `x-api-key`. */
export const requireKeyOfEitherHeader: MiddlewareHandler<AppEnv> = async function requireKeyOfEitherHeader(
  context,
  next,
) {
  // Clients without a key send an empty header.
  const secret = bearer(context) ?? (context.req.header("x-api-key") || null);
  await checkApiKey(context, secret, "`x-api-key: <key>` or `Authorization: Bearer <key>`");
  await next();
};

/** @param how the key has to be sent, for the error message. */
async function checkApiKey(context: AppContext, secret: string | null, how: string): Promise<void> {
  if (secret === null) {
    throw new HttpError({ code: "invalid_api_key", message: `no API key: send it as ${how}` });
  }
  const record = await verifySecret(context.env.KEYS, "key", secret, Date.now());
  if (record === null) {
    const other = await otherSecret(context, secret, "key");
    const message =
      other === null
        ? (flawOf("key", secret) ?? "this API key is not known; was it deleted?")
        : `this is ${other}, and an API key is wanted (it begins with pk_)`;
    throw new HttpError({ code: "invalid_api_key", message });
  }
  context.set("key", record);
}

/**
 * Names the secret that was sent instead of the expected one, if it is another of ours: mixing them up is the most common
 * mistake. Confirming an admin token reveals nothing that calling the admin API would not.
 */
export async function otherSecret(
  { env }: AppContext,
  secret: string,
  wanted: SecretKind,
): Promise<string | null> {
  const kind = kindOfSecret(secret);
  if (kind !== null && kind !== wanted) return KINDS[kind];
  const isOfOperators = wanted === "admin" || !isSet(env.ADMIN_TOKEN);
  if (isOfOperators || !(await sameSecret(secret, env.ADMIN_TOKEN))) return null;
  return "the admin token";
}

const KINDS: Readonly<Record<SecretKind, string>> = {
  key: "an API key",
  token: "a provider token",
  admin: "an admin token",
};

/** A secret that was never set is not there, whatever the types say. */
function isSet(secret: unknown): boolean {
  return typeof secret === "string" && secret !== "";
}

/** Passes on only requests that carry the admin token, or a named one whatever its scope. */
export const requireAdmin: MiddlewareHandler<AppEnv> = async function requireAdmin(context, next) {
  if (!isSet(context.env.ADMIN_TOKEN)) {
    throw new HttpError({
      code: "forbidden",
      message:
        "the admin API is closed: set the secret ADMIN_TOKEN (`wrangler secret put ADMIN_TOKEN`, " +
        "for `wrangler dev` a line ADMIN_TOKEN=... in .dev.vars)",
    });
  }
  const secret = bearer(context);
  const operator = secret === null ? null : await operatorWith(context.env, secret);
  if (operator === null) {
    throw new HttpError({
      code: "invalid_api_key",
      message: `the admin API wants \`Authorization: Bearer <admin token>\`${await whatElse(context, secret)}`,
    });
  }
  context.set("operator", operator);
  await next();
};

/** The token of the Worker's secrets needs no store, so nobody can be locked out of the coordinator with it. */
async function operatorWith({ ADMIN_TOKEN, KEYS }: Env, secret: string): Promise<Operator | null> {
  if (await sameSecret(secret, ADMIN_TOKEN)) return { tokenId: null, name: "ADMIN_TOKEN", scope: "admin" };
  const record = await verifySecret(KEYS, "admin", secret, Date.now());
  return record === null ? null : { tokenId: record.id, name: record.name, scope: record.scope ?? "read" };
}

async function whatElse(context: AppContext, secret: string | null): Promise<string> {
  if (secret === null) return "";
  const other = await otherSecret(context, secret, "admin");
  if (other !== null) return `; this is ${other}`;
  const isNamed = kindOfSecret(secret) === "admin";
  return isNamed ? "; this one is not known, was it revoked?" : "; what was sent is not it";
}
