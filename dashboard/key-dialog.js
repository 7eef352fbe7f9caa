/** @import { ApiError } from "./api-error.js" */
/** @import { Settings } from "./keys.js" */
import { act } from "./action.js";
import { adminDetails, adminLines, adminRevocation, adminRevoked } from "./admin-tokens.js";
import { confirmed } from "./confirm.js";
import { showDetails } from "./details.js";
import { closeBeside, isInterrupted } from "./dialogs.js";
import { byId, elementOf, markWrong, report, setText } from "./dom.js";
import { changedSentence, changesOf, DEFAULTS, noNumber, refusalOf } from "./key-settings.js";
import { keysKnown, noteKey, noteRevoked, readKeysAnew } from "./key-store.js";
import { keyDetails, keyLines, tokenDetails, tokenLines } from "./keys.js";
import { keyRevocation, keyRevoked, tokenRevocation, tokenRevoked } from "./revocation.js";
import { SettingFields } from "./setting-fields.js";

/**
 * One key or token over the page: what is known of it, the settings of a key, and the end of both. What is known goes
 * with the page; the fields are filled once, since somebody types in them.
 */

const dialog = elementOf(HTMLDialogElement, "key");
const form = elementOf(HTMLFormElement, "key-form");
const controls = elementOf(HTMLFieldSetElement, "key-controls");
const told = byId("key-report");
const toldAfter = byId("keys-report");
const fields = new SettingFields(byId("key-fields"), "key-hint key-report");

/** @typedef {"keys" | "tokens" | "admins"} Kind */

/** How the API calls them, and how the title does. @type {Readonly<Record<Kind, { path: "keys" | "provider-tokens" | "admin-tokens", title: string }>>} */
const KINDS = {
  keys: { path: "keys", title: "Key" },
  tokens: { path: "provider-tokens", title: "Token" },
  admins: { path: "admin-tokens", title: "Admin token" },
};

/** @type {{ kind: Kind, id: string }} */
let shown = { kind: "keys", id: "" };
/** @type {Settings} */
let before = DEFAULTS;
/** Counts how often it was opened: what comes of one time is no word about the next. */
let opening = 0;

closeBeside(dialog);
byId("key-close").addEventListener("click", () => dialog.close());
byId("key-revoke").addEventListener("click", () => void revoke());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (shown.kind === "keys") void save();
});

/** @param {string} id */
export function openKey(id) {
  const row = keysKnown().keys.find((key) => key.id === id);
  if (row !== undefined) open("keys", row, row);
}

/** @param {string} id */
export function openToken(id) {
  const row = keysKnown().tokens.find((token) => token.id === id);
  if (row !== undefined) open("tokens", row, DEFAULTS);
}

/** @param {string} id */
export function openAdminToken(id) {
  const row = keysKnown().admins.find((token) => token.id === id);
  if (row !== undefined) open("admins", row, DEFAULTS);
}

/**
 * @param {Kind} kind
 * @param {{ id: string, name: string }} row
 * @param {Settings} settings
 */
function open(kind, { id, name }, settings) {
  shown = { kind, id };
  opening += 1;
  before = settings;
  setText(byId("key-title"), `${KINDS[kind].title} ${name}`);
  for (const part of ["key-fields", "key-hint", "key-save"]) byId(part).hidden = kind !== "keys";
  fields.fill(settings);
  mark(() => false);
  report(told, "", false);
  report(toldAfter, "", false);
  showShown();
  dialog.showModal();
}

/** To be called when something new is known. What is revoked meanwhile stays as it was. */
export function showShown() {
  const found = lineOf();
  if (found !== null) showDetails(byId("key-details"), found.details);
}

function lineOf() {
  const { keys, tokens, admins, snapshot } = keysKnown();
  if (shown.kind === "keys") {
    const [line] = keyLines(
      keys.filter(({ id }) => id === shown.id),
      snapshot?.usage ?? null,
    );
    if (line === undefined) return null;
    return { details: keyDetails(line), warning: keyRevocation(line), done: keyRevoked(line) };
  }
  if (shown.kind === "admins") {
    const [line] = adminLines(admins.filter(({ id }) => id === shown.id));
    if (line === undefined) return null;
    return { details: adminDetails(line), warning: adminRevocation(line), done: adminRevoked(line) };
  }
  const [line] = tokenLines(
    tokens.filter(({ id }) => id === shown.id),
    snapshot,
  );
  if (line === undefined) return null;
  return { details: tokenDetails(line), warning: tokenRevocation(line, snapshot), done: tokenRevoked(line) };
}

async function save() {
  const { id } = shown;
  const { changes, wrong } = changesOf(before, (name) => fields.typed(name));
  mark((name) => wrong.includes(name));
  const [first] = wrong;
  if (first !== undefined) {
    report(told, noNumber(first, fields.typed(first)), true);
    return;
  }
  if (Object.keys(changes).length === 0) {
    report(told, "That is how it is.", false);
    return;
  }
  const asked = opening;
  const outcome = await act({ controls, report: told }, (api) => api.changeKey(id, changes), {
    done: changedSentence,
    failed: refusalOf,
  });
  if (!outcome.ok) {
    failed(outcome.error, asked);
    return;
  }
  if (asked === opening) dialog.close();
  noteKey(outcome.answer);
  report(toldAfter, changedSentence(outcome.answer), false);
}

async function revoke() {
  const { kind, id } = shown;
  const found = lineOf();
  const asked = opening;
  if (found === null) report(told, "It is revoked already.", false);
  else if (await confirmed(found.warning)) await send(kind, id, found.done, asked);
}

/**
 * @param {Kind} kind
 * @param {string} id
 * @param {string} done
 * @param {number} asked
 */
async function send(kind, id, done, asked) {
  const { path } = KINDS[kind];
  const outcome = await act({ controls, report: told }, (api) => api.revoke(path, id), {
    done: () => done,
    failed: refusalOf,
  });
  if (!outcome.ok) {
    failed(outcome.error, asked);
    return;
  }
  if (asked === opening) dialog.close();
  noteRevoked(kind, id);
  report(toldAfter, done, false);
  // What has opened the dialog goes with the row.
  byId("keys-title").focus();
}

/**
 * What went wrong stands in the dialog, or on the page if that was closed or shows another one by now.
 * @param {ApiError} error
 * @param {number} asked
 */
function failed(error, asked) {
  const isShown = asked === opening && (dialog.open || isInterrupted(dialog));
  if (isShown) mark((name) => error.param === name);
  else {
    if (asked !== opening) report(told, "", false);
    report(toldAfter, refusalOf(error), true);
  }
  if (error.isUnanswered) readKeysAnew();
}

/** @param {(name: keyof Settings) => boolean} isWrong */
function mark(isWrong) {
  markWrong(fields.controls, isWrong);
}
