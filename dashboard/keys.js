/** @import { Priority } from "../core/pool/priority.ts" */
/** @import { DetailLine } from "./details.js" */
/** @import { Order } from "./lists.js" */
/** @import { Snapshot, Usage, UsageRow } from "./snapshot.js" */
import { clock, count, date, many, someOf } from "./format.js";
import { compareNames, hasWords, sortedBy } from "./lists.js";

/** What the tables of API keys and provider tokens say, and which of their lines in which order. */

/**
 * One row of `GET /v1/admin/provider-tokens`.
 * @typedef {object} TokenRow
 * @property {string} id
 * @property {string} owner
 * @property {string} name
 * @property {number} created_at
 */

/**
 * What can be set of a key.
 * @typedef {object} Settings
 * @property {number | null} requests_per_minute
 * @property {number | null} tokens_per_minute
 * @property {Priority} priority
 */

/** One row of `GET /v1/admin/keys`. @typedef {TokenRow & Settings} KeyRow */

/**
 * What a key was used for, as the pools have counted it.
 * @typedef {object} Use
 * @property {number} requests
 * @property {number} tokens of prompts and answers
 * @property {number} lastHourAt start of the hour of the last request; 0 without any
 */

/**
 * @typedef {object} KeyLine
 * @property {string} id
 * @property {string} name
 * @property {string} owner
 * @property {KeyRow} row
 * @property {Use | null} use null if it is not known
 */

/**
 * @typedef {object} TokenLine
 * @property {string} id
 * @property {string} name
 * @property {string} owner
 * @property {TokenRow} row
 * @property {readonly string[]} machines that are connected and registered with it last
 */

/** @typedef {"name" | "owner" | "priority" | "requests" | "tokens" | "use" | "created"} KeySort */
/** @typedef {"name" | "owner" | "machines" | "created"} TokenSort */

/** @type {Use} */
const UNUSED = { requests: 0, tokens: 0, lastHourAt: 0 };

/**
 * @param {readonly KeyRow[]} rows
 * @param {Usage | null} usage
 * @returns {KeyLine[]}
 */
export function keyLines(rows, usage) {
  const uses = usage === null ? null : usesOf(usage.rows);
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    owner: row.owner,
    row,
    use: uses === null ? null : (uses.get(row.id) ?? UNUSED),
  }));
}

/** @param {readonly UsageRow[]} rows */
function usesOf(rows) {
  /** @type {Map<string, Use>} */
  const uses = new Map();
  for (const { key_id, hour_at, requests, prompt_tokens, completion_tokens } of rows) {
    const known = uses.get(key_id) ?? UNUSED;
    uses.set(key_id, {
      requests: known.requests + requests,
      tokens: known.tokens + prompt_tokens + completion_tokens,
      lastHourAt: Math.max(known.lastHourAt, hour_at),
    });
  }
  return uses;
}

/**
 * @param {readonly TokenRow[]} rows
 * @param {Snapshot | null} snapshot
 * @returns {TokenLine[]}
 */
export function tokenLines(rows, snapshot) {
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    owner: row.owner,
    row,
    machines: connected(snapshot, ({ token_id }) => token_id === row.id),
  }));
}

/**
 * The machines of an owner of which nobody knows with which token they came: they registered last when that was not kept.
 * @param {string} owner
 * @param {Snapshot | null} snapshot
 * @returns {string[]} the ids of those that are connected
 */
export function withUnknownToken(owner, snapshot) {
  return connected(snapshot, (machine) => machine.owner === owner && machine.token_id === null);
}

/**
 * @param {Snapshot | null} snapshot
 * @param {(machine: Snapshot["utilization"]["model_pools"]["machines"][number]) => boolean} isMeant
 */
function connected(snapshot, isMeant) {
  const machines = snapshot?.utilization.model_pools.machines ?? [];
  return machines
    .filter((machine) => machine.state !== "offline" && isMeant(machine))
    .map(({ machine_id }) => machine_id);
}

/**
 * All owners that are known, for whoever has to spell one as it was spelled before.
 * @param {readonly { readonly owner: string }[]} rows
 * @param {Snapshot | null} snapshot
 */
export function ownersOf(rows, snapshot) {
  const machines = snapshot?.utilization.model_pools.machines ?? [];
  return [...new Set([...rows, ...machines].map(({ owner }) => owner))].toSorted(compareNames);
}

/** @param {number | null} limit */
export const limitText = (limit) => (limit === null ? "no limit" : count(limit));

/** @param {Use | null} use */
export function useText(use) {
  return use === null ? "?" : count(use.requests);
}

/** @param {Use | null} use */
export function useNote(use) {
  return use === null || use.requests === 0 ? "" : many(use.tokens, "token");
}

/**
 * A key in words, in its dialog.
 * @param {KeyLine} line
 * @returns {DetailLine[]}
 */
export function keyDetails({ row, use }) {
  return [...secretDetails(row), { name: "In the last day", value: useSentence(use) }];
}

/** @param {Use | null} use */
function useSentence(use) {
  if (use === null) return "not known yet";
  if (use.requests === 0) return "not used";
  const last = clock(use.lastHourAt, undefined, "short");
  return `${many(use.requests, "request")}, ${many(use.tokens, "token")}; the last in the hour from ${last}`;
}

/**
 * @param {TokenLine} line
 * @returns {DetailLine[]}
 */
export function tokenDetails({ row, machines }) {
  const { length } = machines;
  const value =
    length === 0 ? "none is connected" : `${many(length, "machine")} connected: ${someOf(machines)}`;
  return [...secretDetails(row), { name: "Machines that came with it", value }];
}

/** @param {TokenRow} row */
function secretDetails({ id, owner, created_at: at }) {
  return [
    { name: "Owner", value: owner },
    { name: "Id", value: id },
    { name: "Made", value: `${date(at)}, ${clock(at, undefined, "short")}` },
  ];
}

/** By its id a whole secret is found as well, for whoever has found one somewhere. */
const SECRET = /p[akt]_([0-9a-f]{18})(_[0-9a-f]*)?/g;

/**
 * @template {{ readonly id: string, readonly name: string, readonly owner: string }} L
 * @param {readonly L[]} lines
 * @param {string} typed
 */
export function filteredSecrets(lines, typed) {
  const words = typed.replaceAll(SECRET, "$1");
  return lines.filter(({ id, name, owner }) => hasWords(`${id} ${name} ${owner}`.toLowerCase(), words));
}

/** @type {Readonly<Record<Priority, number>>} */
const PRIORITIES = { high: 2, normal: 1, low: 0 };

/** @type {Readonly<Record<KeySort, (one: KeyLine, other: KeyLine) => number>>} */
const KEYS_COMPARED = {
  name: (one, other) => compareNames(one.name, other.name),
  owner: (one, other) => compareNames(one.owner, other.owner),
  priority: (one, other) => PRIORITIES[one.row.priority] - PRIORITIES[other.row.priority],
  requests: (one, other) => compareLimits(one.row.requests_per_minute, other.row.requests_per_minute),
  tokens: (one, other) => compareLimits(one.row.tokens_per_minute, other.row.tokens_per_minute),
  use: (one, other) => (one.use?.requests ?? 0) - (other.use?.requests ?? 0),
  created: (one, other) => one.row.created_at - other.row.created_at,
};

/** @type {Readonly<Record<TokenSort, (one: TokenLine, other: TokenLine) => number>>} */
const TOKENS_COMPARED = {
  name: (one, other) => compareNames(one.name, other.name),
  owner: (one, other) => compareNames(one.owner, other.owner),
  machines: (one, other) => one.machines.length - other.machines.length,
  created: (one, other) => one.row.created_at - other.row.created_at,
};

/**
 * No limit is more than any.
 * @param {number | null} one
 * @param {number | null} other
 */
function compareLimits(one, other) {
  return (one ?? Number.MAX_SAFE_INTEGER) - (other ?? Number.MAX_SAFE_INTEGER);
}

/**
 * @param {readonly KeyLine[]} lines
 * @param {Order<KeySort>} order
 */
export function sortedKeys(lines, { key, isDescending }) {
  return sortedBy(lines, KEYS_COMPARED[key], isDescending);
}

/**
 * @param {readonly TokenLine[]} lines
 * @param {Order<TokenSort>} order
 */
export function sortedTokens(lines, { key, isDescending }) {
  return sortedBy(lines, TOKENS_COMPARED[key], isDescending);
}

/**
 * @param {readonly KeyRow[]} keys
 * @param {readonly TokenRow[]} tokens
 * @param {number} admins how many admin tokens there are
 * @param {number | null} readAt
 */
export function keysSummary(keys, tokens, admins, readAt) {
  if (readAt === null) return "";
  const owners = new Set([...keys, ...tokens].map(({ owner }) => owner)).size;
  const parts = [
    many(keys.length, "API key"),
    many(tokens.length, "provider token"),
    many(admins, "admin token"),
    many(owners, "owner"),
  ];
  return [...parts, `as of ${clock(readAt)}`].join(" · ");
}
