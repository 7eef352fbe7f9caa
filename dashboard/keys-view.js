/** @import { AdminLine, AdminSort } from "./admin-tokens.js" */
/** @import { KeyLine, KeySort, TokenLine, TokenSort } from "./keys.js" */
/** @import { Column } from "./table.js" */
import { adminLines, scopeText, sortedAdmins } from "./admin-tokens.js";
import { byId, elementOf, say, setText } from "./dom.js";
import { clock, count, date } from "./format.js";
import { openAdminToken, openKey, openToken, showShown } from "./key-dialog.js";
import { keysKnown, lookAtKeys, readMoreKeys } from "./key-store.js";
import {
  filteredSecrets,
  keyLines,
  keysSummary,
  limitText,
  sortedKeys,
  sortedTokens,
  tokenLines,
  useNote,
  useText,
} from "./keys.js";
import { PagedTable } from "./paged-table.js";
import { makeSecret } from "./secret-dialog.js";
import { opener, text } from "./table.js";

/** API keys and provider tokens on the page. */

/** @type {Column<{ readonly row: { readonly created_at: number } }>["fill"]} */
const made = text(
  ({ row }) => date(row.created_at),
  ({ row }) => clock(row.created_at, undefined, "short"),
);

/** @type {readonly (Column<KeyLine> & { sortKey?: KeySort })[]} */
const KEYS = [
  {
    label: "Name",
    kind: "head",
    sortKey: "name",
    fill: opener(
      ({ id }) => id,
      openKey,
      ({ name }) => name,
    ),
  },
  { label: "Owner", sortKey: "owner", fill: text(({ owner }) => owner) },
  {
    label: "Priority",
    hint: "Whose turn it is while machines are busy",
    sortKey: "priority",
    fill: text(({ row }) => row.priority),
  },
  {
    label: "Requests/min",
    kind: "number",
    sortKey: "requests",
    fill: text(({ row }) => limitText(row.requests_per_minute)),
  },
  {
    label: "Tokens/min",
    kind: "number",
    sortKey: "tokens",
    fill: text(({ row }) => limitText(row.tokens_per_minute)),
  },
  {
    label: "Last day",
    hint: "Requests that came to a pool of the catalog, refused ones included, and tokens of prompts and answers",
    kind: "number",
    sortKey: "use",
    fill: text(
      ({ use }) => useText(use),
      ({ use }) => useNote(use),
    ),
  },
  { label: "Made", sortKey: "created", fill: made },
];

/** @type {readonly (Column<TokenLine> & { sortKey?: TokenSort })[]} */
const TOKENS = [
  {
    label: "Name",
    kind: "head",
    sortKey: "name",
    fill: opener(
      ({ id }) => id,
      openToken,
      ({ name }) => name,
    ),
  },
  { label: "Owner", sortKey: "owner", fill: text(({ owner }) => owner) },
  {
    label: "Machines",
    hint: "Machines that are connected and came with it the last time that they registered",
    kind: "number",
    sortKey: "machines",
    fill: text(({ machines }) => count(machines.length)),
  },
  { label: "Made", sortKey: "created", fill: made },
];

/** @type {readonly (Column<AdminLine> & { sortKey?: AdminSort })[]} */
const ADMINS = [
  {
    label: "Name",
    kind: "head",
    sortKey: "name",
    fill: opener(
      ({ id }) => id,
      openAdminToken,
      ({ name }) => name,
    ),
  },
  { label: "May", sortKey: "scope", fill: text(({ row }) => scopeText(row)) },
  { label: "Made", sortKey: "created", fill: made },
];

const filter = elementOf(HTMLInputElement, "keys-filter");

const keys = new PagedTable("api-keys", {
  columns: KEYS,
  filtered: (lines) => filteredSecrets(lines, filter.value),
  sorted: sortedKeys,
  order: { key: "created", isDescending: true },
  largestFirst: ["priority", "requests", "tokens", "use", "created"],
});
const tokens = new PagedTable("tokens", {
  columns: TOKENS,
  filtered: (lines) => filteredSecrets(lines, filter.value),
  sorted: sortedTokens,
  order: { key: "created", isDescending: true },
  largestFirst: ["machines", "created"],
});

const admins = new PagedTable("admin-tokens", {
  columns: ADMINS,
  filtered: (lines) => filteredSecrets(lines, filter.value),
  sorted: sortedAdmins,
  order: { key: "created", isDescending: true },
  largestFirst: ["created"],
});

// It is not kept over a reload, as that of the machines is: somebody may have put a whole secret there.
filter.addEventListener("input", () => {
  keys.filterAnew();
  tokens.filterAnew();
  admins.filterAnew();
});
byId("api-keys-add").addEventListener("click", () => makeSecret("key"));
byId("tokens-add").addEventListener("click", () => makeSecret("token"));
byId("admin-tokens-add").addEventListener("click", () => makeSecret("admin"));
byId("keys-more").addEventListener("click", () => readMoreKeys());
// Its last lines under the bar are not looked at: read there, the lists would push what is looked at off the screen.
new IntersectionObserver((entries) => lookAtKeys(entries.at(-1)?.isIntersecting === true), {
  rootMargin: "-110px 0px 0px",
}).observe(byId("keys"));

export function showKeys() {
  const known = keysKnown();
  const { readAt, problem, snapshot } = known;
  const isRead = readAt !== null;
  say(byId("keys-problem"), problem);
  if (isRead)
    setText(byId("keys-summary"), keysSummary(known.keys, known.tokens, known.admins.length, readAt));
  byId("keys-part").hidden = known.isWhole;
  byId("keys-tools").hidden = known.keys.length + known.tokens.length + known.admins.length === 0;
  showTable("api-keys", known.keys.length, isRead);
  showTable("tokens", known.tokens.length, isRead);
  showTable("admin-tokens", known.admins.length, isRead);
  keys.show(keyLines(known.keys, snapshot?.usage ?? null));
  tokens.show(tokenLines(known.tokens, snapshot));
  admins.show(adminLines(known.admins));
  showShown();
}

/**
 * @param {"api-keys" | "tokens" | "admin-tokens"} name
 * @param {number} rows
 * @param {boolean} isRead
 */
function showTable(name, rows, isRead) {
  byId(`${name}-tools`).hidden = rows === 0;
  byId(`${name}-empty`).hidden = rows > 0 || !isRead;
}
