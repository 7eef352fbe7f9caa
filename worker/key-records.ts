import { z } from "zod";

import { prioritySchema } from "../core/pool/priority.ts";
import type { RateLimits } from "../core/rate-limit.ts";
import { logWarning } from "../durable-objects/log.ts";
import { tryParseJson } from "../durable-objects/try-parse-json.ts";
import { firstProblem } from "../protocol/field-problems.ts";
import { HttpError } from "./http-error.ts";

/**
 * The records of API keys, provider tokens and named admin tokens in KV. While KV does not answer, each of these throws
 * HttpError 503 `try_again`.
 */

export type SecretKind = "key" | "token" | "admin";

export const UNLIMITED: RateLimits = { requestsPerMinute: null, tokensPerMinute: null };

export const scopeSchema = z.enum(["read", "admin"]);

/** What an admin token is good for: to look at everything, or to change it, too. */
export type Scope = z.infer<typeof scopeSchema>;

/** In hex, as it is compared with another. */
const SHA256 = /^[0-9a-f]{64}$/;

const recordSchema = z.object({
  id: z.string(),
  /** The account: owner routes compare a key's owner with a machine's. Admin tokens have none. */
  owner: z.string(),
  name: z.string(),
  sha256: z.string().regex(SHA256),
  createdAt: z.int(),
  /** Limits of an API key, null for none. Provider tokens have them too, without effect. */
  limits: z
    .object({ requestsPerMinute: z.int().nullable(), tokensPerMinute: z.int().nullable() })
    .default(UNLIMITED),
  /** Decides whose turn it is while machines are busy. No effect on provider tokens. Unknown values count as normal. */
  priority: prioritySchema.default("normal").catch("normal"),
  /** Of an admin token. A word of a later version counts as the least. */
  scope: scopeSchema.optional().catch("read"),
});

export type KeyRecord = z.infer<typeof recordSchema>;

const labelsSchema = recordSchema.pick({ owner: true, name: true, sha256: true }).partial();

/** What can be read of a record, be it understood as a whole or not. */
export type RecordLabels = z.infer<typeof labelsSchema>;

/** What KV has under the name of a record. */
export interface StoredRecord {
  /** Null if it is not understood, as after a step back to an earlier version. */
  readonly record: KeyRecord | null;
  readonly labels: RecordLabels;
}

/** Null if KV has nothing under this name. */
export async function readRecord(kv: KVNamespace, name: string): Promise<StoredRecord | null> {
  const text = await answerOf(kv.get(name));
  if (text === null) return null;
  const json = tryParseJson(text);
  const labels = labelsSchema.safeParse(json).data ?? {};
  const parsed = recordSchema.safeParse(json);
  if (parsed.success) return { record: parsed.data, labels };
  const { param, message } = firstProblem(parsed.error);
  logWarning("key_not_understood", { param, message });
  return { record: null, labels };
}

export async function writeRecord(kv: KVNamespace, name: string, record: KeyRecord): Promise<void> {
  await answerOf(kv.put(name, JSON.stringify(record)));
}

export async function deleteRecord(kv: KVNamespace, name: string): Promise<void> {
  await answerOf(kv.delete(name));
}

/** Keeps the hash of a deleted provider token, so that whoever dials with it is told that it was revoked. */
export async function writeRevoked(kv: KVNamespace, id: string, sha256: string): Promise<void> {
  await answerOf(kv.put(`revoked:${id}`, sha256));
}

/** Null unless it is the id of a deleted provider token. */
export async function readRevoked(kv: KVNamespace, id: string): Promise<string | null> {
  const hash = await answerOf(kv.get(`revoked:${id}`));
  return hash !== null && SHA256.test(hash) ? hash : null;
}

/** Limited by the reads that one call may make. */
const RECORDS_PER_PAGE = 100;

/** @returns null if KV does not know the cursor. */
export async function readNames(
  kv: KVNamespace,
  kind: SecretKind,
  cursor: string | null,
): Promise<KVNamespaceListResult<unknown> | null> {
  const asked = kv.list({ prefix: `${kind}:`, limit: RECORDS_PER_PAGE, cursor }).catch((error: unknown) => {
    // Other 4xx mean an unknown cursor; 429 and 5xx are temporary.
    if (cursor !== null && /failed: 4(?!29)\d\d/.test(String(error))) return null;
    throw error;
  });
  return await answerOf(asked);
}

async function answerOf<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    logWarning("keys_unreachable", { error: String(error).slice(0, 200) });
    const message = "the store of keys and tokens does not answer; try again";
    throw new HttpError({ code: "try_again", message, retryAfterS: 1 });
  }
}
