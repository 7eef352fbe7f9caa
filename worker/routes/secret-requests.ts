import { z } from "zod";

import type { AppContext } from "../context.ts";
import { HttpError } from "../http-error.ts";
import type { KeyRecord, SecretKind } from "../key-records.ts";
import { holdsSecret } from "../secret-texts.ts";
import { isSecretId, listSecrets } from "../secrets.ts";

/** What requests about keys and those about provider tokens have in common. */

/** An owner, or the name of a key or a token. */
export const label = z
  .string()
  .regex(
    /^[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?$/,
    "must have 1 to 128 printable ASCII characters, without blanks at either end",
  );

/**
 * Refuses a label that holds a secret: lists and the log of changes would show it to whoever may only read.
 * @param labels by the field that they came in.
 * @throws HttpError 400
 */
export function refuseSecrets({ env }: AppContext, labels: Readonly<Record<string, string>>): void {
  for (const [param, text] of Object.entries(labels)) {
    if (!holdsSecret(text, env.ADMIN_TOKEN)) continue;
    const message = `${param}: has a secret in it, which everybody could read who may read the lists; choose another`;
    throw new HttpError({ code: "invalid_request", param, message });
  }
}

/** @throws HttpError 400 for a malformed cursor */
export async function readPage(
  context: AppContext,
  kind: SecretKind,
): Promise<{ readonly records: readonly KeyRecord[]; readonly cursor: string | null }> {
  const cursor = context.req.query("cursor") ?? "";
  const page = await listSecrets(context.env.KEYS, kind, cursor === "" ? null : cursor);
  if (page !== null) return page;
  const message = "cursor: is not the `next_cursor` of an earlier page; leave it out to begin with the first";
  throw new HttpError({ code: "invalid_request", param: "cursor", message });
}

/** @throws HttpError 404 for what cannot be an id */
export function secretId(context: AppContext): string {
  const id = context.req.param("id") ?? "";
  if (!isSecretId(id)) throw unknownId(id);
  return id;
}

export function unknownId(id: string): HttpError {
  return new HttpError({ code: "not_found", message: `there is no key or token with the id "${id}"` });
}
