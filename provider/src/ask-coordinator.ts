import { z } from "zod";

import { redirection, type ConnectionOptions } from "./connection.ts";
import { networkReason } from "./reason.ts";
import { parseJson } from "./state/files.ts";

/** Questions to the coordinator's HTTP API. */

const TIMEOUT_MS = 10_000;

const errorSchema = z.object({ error: z.object({ message: z.string().max(2000) }) });

/** The answer, or why there is none, for the owner of the machine. */
export type CoordinatorAnswer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: string };

export async function askCoordinator<T>(
  url: URL,
  { token, userAgent }: Pick<ConnectionOptions, "token" | "userAgent">,
  schema: z.ZodType<T>,
): Promise<CoordinatorAnswer<T>> {
  try {
    const response = await fetch(url, {
      headers: { Authorization: `Bearer ${token}`, "User-Agent": userAgent },
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const body = parseJson(await response.text());
    const parsed = schema.safeParse(body);
    if (response.ok && parsed.success) return { ok: true, value: parsed.data };
    return { ok: false, problem: `${problemOf(response, body)} (${response.status})` };
  } catch (cause) {
    return { ok: false, problem: `it does not answer: ${networkReason(cause)}` };
  }
}

function problemOf({ status, headers }: Response, body: unknown): string {
  const error = errorSchema.safeParse(body);
  if (error.success) return error.data.error.message;
  return redirection(status, headers.get("location") ?? undefined) ?? "it answers what no coordinator would";
}
