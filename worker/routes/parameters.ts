import type { MiddlewareHandler } from "hono";

import { ownValue } from "../../core/own-value.ts";
import type { AppEnv } from "../context.ts";
import { HttpError } from "../http-error.ts";

/**
 * What addresses of the operators' API take behind the `?`, by what follows `/v1/admin/`: all of it, or its first name. A
 * misspelled name that is passed over answers another question than was asked, and nobody notices.
 */
const PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  "admin-tokens": ["cursor"],
  audit: ["about", "cursor", "limit", "since"],
  catalog: ["force"],
  demand: ["days"],
  flags: [],
  keys: ["cursor"],
  machines: [],
  "machines/orders": ["dry_run"],
  placement: [],
  "provider-tokens": ["cursor"],
  usage: ["by", "days"],
  utilization: [],
  whoami: [],
};

/** Passes on only requests whose parameters are known and come once. */
export const knownParameters: MiddlewareHandler<AppEnv> = async function knownParameters({ req }, next) {
  const [, whole = "", part = ""] = /^\/v1\/admin\/(([^/]+).*)$/.exec(req.path) ?? [];
  const known = ownValue(PARAMETERS, whole) ?? ownValue(PARAMETERS, part);
  if (known !== undefined) {
    for (const [name, values] of Object.entries(req.queries())) {
      if (!known.includes(name)) throw problem(name, `is not known here; ${takes(known)}`);
      if (values.length > 1) throw problem(name, "came more than once");
    }
  }
  await next();
};

function takes(names: readonly string[]): string {
  return names.length === 0
    ? "this address takes no parameters"
    : `this address takes ${names.join(" and ")}`;
}

function problem(name: string, what: string): HttpError {
  const param = name.slice(0, 100);
  return new HttpError({ code: "invalid_request", param, message: `${param}: ${what}` });
}
