/**
 * The log of changes: what operators asked for, who it was, and what came of it. Here is what a row says and what it may
 * hold; it is kept by the fleet. No row has a secret in it, and none is long.
 */

/** A change as it was asked for, before anything is done. */
export interface AskedCall {
  /** As the answer has it in `x-request-id`. */
  readonly requestId: string | null;
  /** Null for the admin token of the Worker's own secrets, and for what was written to KV by hand. */
  readonly tokenId: string | null;
  /** Null if nobody knows who it was, as with what was written to KV by hand. */
  readonly tokenName: string | null;
  /** Of the caller, if the platform has told. */
  readonly address: string | null;
  /** Of HTTP, or `KV`. */
  readonly method: string;
  /** With what was behind its `?`; for `KV` the place that it is shown in by the API. */
  readonly path: string;
}

/** What is other than before, as JSON: only the fields that differ. Null if there was nothing, or nothing differs. */
export interface Difference {
  readonly before: string | null;
  readonly after: string | null;
}

export interface CallOutcome extends Difference {
  /** Of the answer. */
  readonly status: number;
  /** Of the error, null without one. */
  readonly code: string | null;
}

export interface AuditRow extends AskedCall, Difference {
  /** Counts up with time. */
  readonly id: number;
  readonly at: number;
  /** Null as long as nobody knows what came of it. */
  readonly status: number | null;
  readonly code: string | null;
}

export const NO_DIFFERENCE: Difference = { before: null, after: null };

/** JSON in a row is no longer; lists in it are counted and texts cut before that. */
const JSON_CHARS_MAX = 16_000;
const TEXT_CHARS_MAX = 300;
const PATH_CHARS_MAX = 500;

/** Whatever looks like a secret of ours, wherever somebody has put it and whatever stands before it; its id is public. */
const SECRETS = /(p[akt]_[0-9a-f]{18})_[0-9a-f]+/gi;

export function withoutSecrets(text: string): string {
  return text.replaceAll(SECRETS, "$1_...");
}

/** The path as a row may hold it. */
export function auditPath(path: string): string {
  return withoutSecrets(path).slice(0, PATH_CHARS_MAX);
}

/**
 * What differs between two objects, field by field.
 * @param before null for what was not there.
 * @param after null for what is there no more.
 */
export function difference(before: object | null, after: object | null): Difference {
  const was = before === null ? null : new Map<string, unknown>(Object.entries(before));
  const is = after === null ? null : new Map<string, unknown>(Object.entries(after));
  return { before: jsonOf(was, is), after: jsonOf(is, was) };
}

type Fields = ReadonlyMap<string, unknown>;

function jsonOf(fields: Fields | null, others: Fields | null): string | null {
  const told = [...(fields ?? [])].filter(
    ([name, value]) => others === null || JSON.stringify(others.get(name)) !== JSON.stringify(value),
  );
  if (told.length === 0) return null;
  const json = withoutSecrets(JSON.stringify(Object.fromEntries(told)));
  if (json.length <= JSON_CHARS_MAX) return json;
  const shorter = JSON.stringify(Object.fromEntries(told.map(([name, value]) => [name, shortened(value)])));
  return shorter.length <= JSON_CHARS_MAX ? withoutSecrets(shorter) : `{"left_out_chars":${json.length}}`;
}

function shortened(value: unknown): unknown {
  if (Array.isArray(value)) return value.length;
  if (typeof value === "string" && value.length > TEXT_CHARS_MAX) {
    return `${value.slice(0, TEXT_CHARS_MAX)}...`;
  }
  return value;
}

export type AuditOutcome = "done" | "refused" | "unknown";

/** A fault may have come before the change or after it, so after one nobody knows. */
export function outcomeOf(status: number | null): AuditOutcome {
  if (status === null || status >= 500) return "unknown";
  return status >= 400 ? "refused" : "done";
}

const ADMIN = "/v1/admin/";

/** What was asked for, in words that begin with a verb. */
export function wordsOf(method: string, path: string): string {
  const [address = ""] = path.split("?");
  const isOurs = address.startsWith(ADMIN);
  const [part = "", ...rest] = isOurs ? address.slice(ADMIN.length).split("/") : [];
  const name = decoded(rest.join("/"));
  const words = wordsFor(part, method, name) ?? `${method} ${address}`;
  return method === "KV" ? `${words}, in KV by hand` : words;
}

function wordsFor(part: string, method: string, name: string): string | null {
  const isRemoval = method === "DELETE";
  switch (part) {
    case "flags":
      return `set the flag ${name}`;
    case "catalog":
      if (name === "") return "replace the catalog";
      return isRemoval ? `take ${name} out of the catalog` : `put ${name} into the catalog`;
    case "machines":
      if (name === "orders") return "give an order to many machines";
      return isRemoval ? `remove the machine ${name}` : orderWords(name);
    case "keys":
      return secretWords("API key", method, name);
    case "provider-tokens":
      return secretWords("provider token", method, name);
    case "admin-tokens":
      return secretWords("admin token", method, name);
    default:
      return null;
  }
}

/** @param name `<machine>/<order>` */
function orderWords(name: string): string | null {
  const [machine = "", order = ""] = name.split("/");
  return order === "" ? null : `${order} the machine ${machine}`;
}

function secretWords(kind: string, method: string, id: string): string {
  if (id === "") return `make ${/^a/i.test(kind) ? "an" : "a"} ${kind}`;
  return `${method === "DELETE" ? "revoke" : "change"} the ${kind} ${id}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
