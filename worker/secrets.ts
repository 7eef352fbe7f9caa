import type { Priority } from "../core/pool/priority.ts";
import type { RateLimits } from "../core/rate-limit.ts";
import { HttpError } from "./http-error.ts";
import {
  deleteRecord,
  readNames,
  readRecord,
  readRevoked,
  UNLIMITED,
  writeRecord,
  writeRevoked,
  type KeyRecord,
  type RecordLabels,
  type SecretKind,
} from "./key-records.ts";
import { TtlCache } from "./ttl-cache.ts";

/**
 * API keys, provider tokens and named admin tokens. A secret is `<prefix>_<id>_<random>`; the id is public and names the
 * record in KV, which holds only the SHA-256 of the whole secret. Hashes are compared, in constant time.
 *
 * Whatever asks KV throws HttpError 503 `try_again` while that does not answer.
 */

const NAME = { key: "API key", token: "provider token", admin: "admin token" } as const satisfies Record<
  SecretKind,
  string
>;
const PREFIX = { key: "pk", token: "pt", admin: "pa" } as const satisfies Record<SecretKind, string>;

/** The settings of a key that operators can change. */
export interface KeySettings {
  readonly limits: Partial<RateLimits>;
  readonly priority?: Priority | undefined;
}

/** How long an isolate caches a record. KV itself may return a deleted one for a minute. */
const RECORD_TTL_MS = 10_000;
const RECORDS_MAX = 10_000;

/** Creates a secret and stores its record. The secret itself is returned once and not stored. */
export async function createSecret(
  kv: KVNamespace,
  kind: SecretKind,
  labels: Pick<KeyRecord, "owner" | "name" | "scope">,
  now: number,
  { limits, priority = "normal" }: KeySettings = { limits: {} },
): Promise<{ secret: string; record: KeyRecord }> {
  const id = randomHex(9);
  const secret = `${PREFIX[kind]}_${id}_${randomHex(32)}`;
  const record: KeyRecord = {
    id,
    ...labels,
    sha256: hex(await sha256(secret)),
    createdAt: now,
    limits: { ...UNLIMITED, ...limits },
    priority,
  };
  await writeRecord(kv, `${kind}:${id}`, record);
  return { secret, record };
}

/**
 * Changes the given settings of a key.
 * @returns its record before and after, or null if there is none.
 * @throws HttpError 400 if the record is not understood
 */
export async function changeKey(
  kv: KVNamespace,
  id: string,
  { limits, priority }: KeySettings,
): Promise<{ before: KeyRecord; after: KeyRecord } | null> {
  const name = `key:${id}`;
  const stored = await readRecord(kv, name);
  if (stored === null) return null;
  const { record } = stored;
  if (record === null) {
    const message = "the record of this API key is not understood, so it cannot be changed; revoke it";
    throw new HttpError({ code: "invalid_request", message });
  }
  const changed = {
    ...record,
    limits: { ...record.limits, ...limits },
    priority: priority ?? record.priority,
  };
  await writeRecord(kv, name, changed);
  cache.forget(name);
  return { before: record, after: changed };
}

/**
 * One page of records, in no particular order; `cursor` is null on the last page. A record that a later version has written
 * hides none of the others.
 * @returns null if the cursor is malformed or unknown to KV.
 */
export async function listSecrets(
  kv: KVNamespace,
  kind: SecretKind,
  cursor: string | null,
): Promise<{ records: KeyRecord[]; cursor: string | null } | null> {
  const start = cursor === null ? null : startOf(kind, cursor);
  if (cursor !== null && start === null) return null;
  const page = await readNames(kv, kind, start);
  if (page === null) return null;
  const found = await Promise.all(page.keys.map(({ name }) => readRecord(kv, name)));
  // The list may still contain a key that was just deleted.
  const records = found.flatMap((stored) => stored?.record ?? []);
  return { records, cursor: page.list_complete ? null : cursorOf(kind, page.cursor) };
}

/** KV's cursor, encoded for URLs and prefixed with the kind, so that made-up cursors are recognized. */
function cursorOf(kind: SecretKind, start: string): string {
  return btoa(`${kind}:${start}`).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function startOf(kind: SecretKind, cursor: string): string | null {
  if (!/^[\w-]*$/.test(cursor) || cursor.length % 4 === 1) return null;
  const text = atob(cursor.replaceAll("-", "+").replaceAll("_", "/"));
  return text.startsWith(`${kind}:`) ? text.slice(kind.length + 1) : null;
}

/** Whether KV has a record of this id, be it understood or not. */
export async function isStored(kv: KVNamespace, kind: SecretKind, id: string): Promise<boolean> {
  return (await readRecord(kv, `${kind}:${id}`)) !== null;
}

/**
 * Deletes a record. The hash of a token is kept, so that whoever dials with it is told that it was revoked.
 * @returns whose it was, as far as it can be read; null if there was none.
 */
export async function deleteSecret(
  kv: KVNamespace,
  kind: SecretKind,
  id: string,
): Promise<Omit<RecordLabels, "sha256"> | null> {
  const name = `${kind}:${id}`;
  const stored = await readRecord(kv, name);
  if (stored === null) {
    cache.forget(name);
    return null;
  }
  const { sha256: hash, ...labels } = stored.labels;
  if (kind === "token" && hash !== undefined) await writeRevoked(kv, id, hash);
  await deleteRecord(kv, name);
  // Only now: whoever uses it in the meantime has it read and cached anew.
  cache.forget(name);
  return labels;
}

/** Whether this is a deleted provider token. */
export async function isRevokedToken(kv: KVNamespace, secret: string): Promise<boolean> {
  const match = SHAPE.exec(secret);
  const [, prefix, id] = match ?? [];
  if (prefix !== PREFIX.token || id === undefined) return false;
  const hash = await readRevoked(kv, id);
  return hash !== null && crypto.subtle.timingSafeEqual(await sha256(secret), bytesOfHex(hash));
}

/**
 * The record of a secret, or null if it is not a valid one.
 * @throws HttpError 401 if its record is not understood
 */
export async function verifySecret(
  kv: KVNamespace,
  kind: SecretKind,
  secret: string,
  now: number,
): Promise<KeyRecord | null> {
  const match = SHAPE.exec(secret);
  if (match === null || match[1] !== PREFIX[kind]) return null;
  const known = await knownRecord(kv, kind, `${kind}:${match[2]}`, now);
  if (known === null) return null;
  const { record } = known;
  const bytes = encoder.encode(secret);
  // All secrets of a kind have the same length. A secret that was verified before need not be hashed again.
  if (known.verified !== null && crypto.subtle.timingSafeEqual(bytes, known.verified)) return record;
  if (!crypto.subtle.timingSafeEqual(await sha256(secret), bytesOfHex(record.sha256))) return null;
  known.verified = bytes;
  return record;
}

/** Compares two secrets in constant time. */
export async function sameSecret(a: string, b: string): Promise<boolean> {
  return crypto.subtle.timingSafeEqual(await sha256(a), await sha256(b));
}

/** The kind of secret by its prefix; null if it has none of them. */
export function kindOfSecret(secret: string): SecretKind | null {
  const kinds = ["key", "token", "admin"] as const;
  return kinds.find((kind) => secret.startsWith(`${PREFIX[kind]}_`)) ?? null;
}

/**
 * By its look alone, why nobody can have been given this secret, as a sentence; null if somebody can. Most who meet this have
 * set the address of the coordinator, but not its key, or have lost the end of one while they copied it.
 */
export function flawOf(kind: SecretKind, secret: string): string | null {
  const name = NAME[kind];
  if (kindOfSecret(secret) !== kind)
    return `this is not one of this coordinator's ${name}s, which begin with ${PREFIX[kind]}_`;
  if (SHAPE.test(secret)) return null;
  return secret.length === SECRET_LENGTH
    ? `this ${name} has a character that none has; copy it again`
    : `this ${name} has ${secret.length} characters instead of ${SECRET_LENGTH}; copy it again`;
}

/** Whether the text has the form of a secret's id. Anything else could exceed KV's limit of a key's length. */
export function isSecretId(text: string): boolean {
  return /^[0-9a-f]{18}$/.test(text);
}

const SHAPE = /^(pk|pt|pa)_([0-9a-f]{18})_[0-9a-f]{64}$/;
const SECRET_LENGTH = "pk_".length + 18 + "_".length + 64;

interface KnownRecord {
  readonly record: KeyRecord;
  /** The secret, once it was verified against the record; null before. */
  verified: Uint8Array | null;
}

const cache = new TtlCache<KnownRecord>(RECORD_TTL_MS, RECORDS_MAX);

/**
 * Names of which KV has nothing: clients ask on and on with a key that was deleted, and KV is paid for such a reading, too.
 * Apart from the others, which nobody who makes keys up can push out.
 */
const unknown = new TtlCache<null>(RECORD_TTL_MS, RECORDS_MAX);

async function knownRecord(
  kv: KVNamespace,
  kind: SecretKind,
  name: string,
  now: number,
): Promise<KnownRecord | null> {
  const cached = cache.get(name, now);
  if (cached !== undefined) return cached;
  if (unknown.get(name, now) === null) return null;
  const stored = await readRecord(kv, name);
  if (stored === null) {
    cache.forget(name);
    unknown.set(name, null, now);
    return null;
  }
  if (stored.record === null) throw notUnderstood(kind);
  const known = { record: stored.record, verified: null };
  cache.set(name, known, now);
  return known;
}

function notUnderstood(kind: SecretKind): HttpError {
  return new HttpError({
    code: kind === "token" ? "invalid_provider_token" : "invalid_api_key",
    message: `the record of this ${NAME[kind]} is not understood; its operator has to make another`,
  });
}

const encoder = new TextEncoder();

function sha256(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", encoder.encode(text));
}

function randomHex(bytes: number): string {
  return hex(crypto.getRandomValues(new Uint8Array(bytes)).buffer);
}

function hex(buffer: ArrayBuffer): string {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOfHex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
