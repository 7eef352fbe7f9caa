/** @import { AdminTokenRow } from "./admin-tokens.js" */
/** @import { Api } from "./api.js" */
/** @import { KeyRow, TokenRow } from "./keys.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { ApiError, sentenceOf } from "./api-error.js";
import { KeyList } from "./key-list.js";

/** The keys and tokens that the table and the dialogs share. They are read only while somebody looks at them. */

const list = new KeyList();

/** @type {Api | null} */
let api = null;
/** @type {Snapshot | null} */
let known = null;
let isOnScreen = false;
/** @type {() => void} */
let show = () => {};

/** Why the list could not be read; empty if it could. */
let problem = "";

/** @param {() => void} render to be called when there is something new to show */
export function showKeysBy(render) {
  show = render;
}

/** @param {Api} granted with whose token keys are read */
export function readKeysWith(granted) {
  api = granted;
}

/** @param {Snapshot} snapshot in which their use and their machines are */
export function knowFleet(snapshot) {
  known = snapshot;
  show();
}

/** @param {boolean} isSeen */
export function lookAtKeys(isSeen) {
  isOnScreen = isSeen;
  // What is there already can wait for the next refresh, or for whoever has paused the page.
  if (list.readAt === null) void refreshKeys();
}

/** Whatever is known may be old: the list is read again with the next refresh. */
export function expireKeys() {
  list.expire();
}

/** Nobody knows what came of a change. */
export function readKeysAnew() {
  list.expire();
  void refreshKeys();
}

export function readMoreKeys() {
  list.wantMore();
  void refreshKeys();
}

/** To be called at each refresh: reads the list if it is old, and if somebody sees it. */
export async function refreshKeys() {
  if (api === null || known === null || !isOnScreen || !list.isDue(Date.now())) return;
  try {
    await list.read(api, Date.now());
    problem = "";
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    problem = sentenceOf(error);
  }
  show();
}

export function keysKnown() {
  const { readAt, isWhole } = list;
  const { keys, tokens, admins } = list;
  return {
    keys: keys.rows(),
    tokens: tokens.rows(),
    admins: admins.rows(),
    snapshot: known,
    readAt,
    isWhole,
    problem,
  };
}

/** @param {KeyRow} row that was made or changed here */
export function noteKey(row) {
  list.keys.put(row, Date.now());
  show();
}

/** @param {TokenRow} row that was made here */
export function noteToken(row) {
  list.tokens.put(row, Date.now());
  show();
}

/** @param {AdminTokenRow} row that was made here */
export function noteAdminToken(row) {
  list.admins.put(row, Date.now());
  show();
}

/**
 * @param {"keys" | "tokens" | "admins"} kind
 * @param {string} id of what was revoked here
 */
export function noteRevoked(kind, id) {
  list[kind].remove(id, Date.now());
  show();
}
