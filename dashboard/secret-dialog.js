/** @import { AdminTokenRow } from "./admin-tokens.js" */
/** @import { Api, Labels } from "./api.js" */
/** @import { ApiError } from "./api-error.js" */
/** @import { FieldName } from "./key-settings.js" */
/** @import { Settings } from "./keys.js" */
import { act } from "./action.js";
import { chatCommand, modelToTry, readCommand } from "./commands.js";
import { hideConnectFields, showConnectFields } from "./connect-fields.js";
import { closeBeside, isInterrupted } from "./dialogs.js";
import { byId, elementOf, markWrong, report, setText } from "./dom.js";
import { changesOf, DEFAULTS, noNumber, obstacleTo, unmadeSentence } from "./key-settings.js";
import { keysKnown, noteAdminToken, noteKey, noteToken, readKeysAnew } from "./key-store.js";
import { ownersOf } from "./keys.js";
import { SettingFields } from "./setting-fields.js";

/**
 * Makes a key or a token and shows its secret, which nobody can read again. So it is not closed by the way as long as it
 * has not been copied, nor is the page, and once it is closed the page has forgotten it. A login that comes between does not count: the
 * dialog comes back after it.
 */

/** @typedef {"key" | "token" | "admin"} Kind */

const WORDS = {
  key: {
    title: "Make an API key",
    verb: "Make the key",
    hint: "Spell an owner the same for keys and for machines. An empty limit is none.",
    use: "To try it:",
  },
  token: {
    title: "Make a provider token",
    verb: "Make the token",
    hint: "Machines that first dial with it belong to its owner. One token may serve many machines.",
    use:
      "To connect a Mac, run this on it, in a checkout of the repository and after npm ci. It asks for the token. " +
      "provider/README.md has every option.",
  },
  admin: {
    title: "Make an admin token",
    verb: "Make the token",
    hint: "One for each person or program, named so that you know it again among the changes. Prometheus only reads.",
    use: "To try it:",
  },
};

const dialog = elementOf(HTMLDialogElement, "secret");
const form = elementOf(HTMLFormElement, "secret-form");
const controls = elementOf(HTMLFieldSetElement, "secret-controls");
const owner = elementOf(HTMLInputElement, "secret-owner");
const name = elementOf(HTMLInputElement, "secret-name");
const scope = elementOf(HTMLSelectElement, "secret-scope");
const made = byId("secret-made");
const secretText = byId("secret-text");
const commandText = byId("secret-command");
const told = byId("secret-report");
const toldAfter = byId("keys-report");
const fields = new SettingFields(byId("secret-fields"), "secret-hint secret-report");

/** Stands for the owner of what belongs to no account. */
const NOBODY = "nobody";

/** @type {Kind} */
let kind = "key";
let isSending = false;
let isCopied = false;

closeBeside(dialog, () => made.hidden === true);
byId("secret-close").addEventListener("click", () => {
  // At once: the event of a dialog that closes comes some time after it.
  forget();
  dialog.close();
});
byId("secret-copy").addEventListener("click", () => void copy(secretText, "The secret is copied."));
byId("secret-copy-command").addEventListener("click", () => void copy(commandText, "The command is copied."));
secretText.addEventListener("copy", () => {
  isCopied = true;
});
dialog.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !isAtStake()) return;
  event.preventDefault();
  report(told, "It has not been copied. Copy it, or close this with the button: it is gone then.", true);
});
addEventListener("beforeunload", (event) => {
  // The browser asks in its own words before a reload, or before the tab is closed.
  if (isAtStake()) event.preventDefault();
});
dialog.addEventListener("close", () => {
  if (!isInterrupted(dialog)) forget();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void send();
});

/** Whether there is a secret that would be gone with the dialog. */
function isAtStake() {
  return !made.hidden && !isCopied;
}

/** @param {Kind} wanted */
export function makeSecret(wanted) {
  // One that is being made has not been seen yet.
  if (!isSending) begin(wanted);
  dialog.showModal();
  if (!isSending) (kind === "admin" ? name : owner).focus();
}

/** @param {Kind} wanted */
function begin(wanted) {
  kind = wanted;
  const { title, verb, hint } = WORDS[kind];
  setText(byId("secret-title"), title);
  setText(byId("secret-make"), verb);
  setText(byId("secret-hint"), hint);
  const { keys, tokens, snapshot } = keysKnown();
  const owners = ownersOf([...keys, ...tokens], snapshot);
  byId("owners").replaceChildren(...owners.map((known) => new Option(known)));
  owner.value = name.value = "";
  fields.fill(DEFAULTS);
  fields.show(kind === "key");
  scope.value = "read";
  byId("secret-owner-label").hidden = kind === "admin";
  byId("secret-scope-label").hidden = kind !== "admin";
  mark(() => false);
  report(told, "", false);
  report(toldAfter, "", false);
}

async function send() {
  const labels = { owner: kind === "admin" ? NOBODY : owner.value.trim(), name: name.value.trim() };
  const { problem, field } = obstacleTo(labels.owner, labels.name);
  const { changes, wrong } = changesOf(DEFAULTS, (setting) => fields.typed(setting));
  const [first] = wrong;
  mark((marked) => marked === field || wrong.some((setting) => setting === marked));
  if (problem !== "" || first !== undefined) {
    report(told, problem || noNumber(first ?? "priority", fields.typed(first ?? "priority")), true);
    return;
  }
  isSending = true;
  const asked = kind;
  const outcome = await act({ controls, report: told }, (api) => makeWith(api, asked, labels, changes), {
    done: () => "It is made.",
    failed: unmadeSentence,
  });
  isSending = false;
  if (outcome.ok) show(outcome.answer, labels, changes);
  else failed(outcome.error);
}

/** @param {ApiError} error */
function failed(error) {
  // Whoever has closed the dialog meanwhile reads it on the page.
  if (dialog.open || isInterrupted(dialog)) mark((marked) => error.param === marked);
  else report(toldAfter, unmadeSentence(error), true);
  if (error.isUnanswered) readKeysAnew();
}

/**
 * @param {Api} api
 * @param {Kind} wanted
 * @param {Labels} labels
 * @param {Partial<Settings>} changes
 */
async function makeWith(api, wanted, labels, changes) {
  if (wanted === "key") {
    const { id, key } = await api.makeKey({ ...labels, ...changes });
    return { id, secret: key };
  }
  const { id, token } = await (wanted === "admin"
    ? api.makeAdminToken({ name: labels.name, scope: scopeChosen() })
    : api.makeProviderToken(labels));
  return { id, secret: token };
}

/**
 * @param {{ id: string, secret: string }} answer
 * @param {Labels} labels
 * @param {Partial<Settings>} changes
 */
function show({ id, secret }, labels, changes) {
  const row = { id, ...labels, created_at: Date.now() };
  if (kind === "key") noteKey({ ...row, ...DEFAULTS, ...changes });
  else if (kind === "token") noteToken(row);
  else noteAdminToken({ id, name: labels.name, scope: scopeChosen(), created_at: row.created_at });
  const { snapshot } = keysKnown();
  const title =
    kind === "admin" ? `The admin token ${labels.name}` : `The ${kind} ${labels.name} of ${labels.owner}`;
  setText(byId("secret-title"), title);
  setText(secretText, secret);
  setText(byId("secret-use"), WORDS[kind].use);
  if (kind === "token") showConnectFields(snapshot);
  else {
    hideConnectFields();
    const command =
      kind === "key"
        ? chatCommand(location.origin, secret, modelToTry(snapshot))
        : readCommand(location.origin, secret);
    setText(commandText, command);
  }
  form.hidden = true;
  made.hidden = false;
  report(toldAfter, `${title} is made.`, false);
  // Whoever has closed it meanwhile has not seen the secret.
  if (!dialog.open && !isInterrupted(dialog)) dialog.showModal();
  byId("secret-copy").focus();
}

/** @returns {AdminTokenRow["scope"]} */
function scopeChosen() {
  return scope.value === "admin" ? "admin" : "read";
}

function forget() {
  setText(secretText, "");
  setText(commandText, "");
  made.hidden = true;
  form.hidden = false;
  isCopied = false;
  report(told, "", false);
}

/**
 * @param {HTMLElement} element
 * @param {string} done
 */
async function copy(element, done) {
  try {
    await navigator.clipboard.writeText(element.textContent ?? "");
  } catch {
    // A page that came over plain HTTP may not copy.
    getSelection()?.selectAllChildren(element);
    report(told, "The browser does not let the page copy. It is selected: press Ctrl+C, or ⌘C.", true);
    return;
  }
  // But for the one that connects a machine, the command has the secret in it.
  if (element === secretText || kind !== "token") isCopied = true;
  report(told, done, false);
}

/** @param {(marked: FieldName) => boolean} isWrong */
function mark(isWrong) {
  markWrong(/** @type {const} */ ([["owner", owner], ["name", name], ...fields.controls]), isWrong);
}
