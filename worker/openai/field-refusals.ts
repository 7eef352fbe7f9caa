import { HttpError } from "../http-error.ts";

/** The two ways in which a field of a request can be refused by name. */

/** Why a request that asks for moderation is refused. */
export const NOT_MODERATED = "nothing is moderated here";

export function unsupported(param: string, why: string): HttpError {
  return new HttpError({ code: "unsupported", param, message: `${param}: ${why}` });
}

export function invalid(param: string, why: string): HttpError {
  return new HttpError({ code: "invalid_request", param, message: `${param}: ${why}` });
}
