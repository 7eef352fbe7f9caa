/** @import { ApiError } from "./api-error.js" */
/** @import { KeyRow, Settings } from "./keys.js" */
import { sentenceOf } from "./api-error.js";

/** What is typed about a key or a token, as the API takes it. Which values are good is the coordinator's to say. */

/** @typedef {keyof Settings} SettingName */
/** @typedef {"owner" | "name" | SettingName} FieldName */

/** @type {Readonly<Record<FieldName, string>>} */
export const LABELS = {
  owner: "Owner, the account",
  name: "Name, to know it by",
  requests_per_minute: "Requests a minute",
  tokens_per_minute: "Tokens a minute",
  priority: "Priority",
};

/** Those that are numbers, and null for none. */
const LIMITS = /** @type {const} */ (["requests_per_minute", "tokens_per_minute"]);

/** @type {readonly Settings["priority"][]} */
export const PRIORITIES = ["high", "normal", "low"];

/** A new key has these unless somebody says otherwise. @type {Settings} */
export const DEFAULTS = { requests_per_minute: null, tokens_per_minute: null, priority: "normal" };

/**
 * @param {SettingName} name
 * @param {Settings} settings
 */
export function textOf(name, settings) {
  const value = settings[name];
  return value === null ? "" : String(value);
}

/**
 * Those settings that are others than before. An empty limit is none.
 * @param {Settings} before
 * @param {(name: SettingName) => string} typed
 * @returns {{ changes: Partial<Settings>, wrong: readonly SettingName[] }} `wrong` are those that hold no number
 */
export function changesOf(before, typed) {
  /** @type {Partial<Settings>} */
  const changes = {};
  /** @type {SettingName[]} */
  const wrong = [];
  for (const name of LIMITS) {
    const text = typed(name).trim();
    const limit = text === "" ? null : Number(text);
    if (limit !== null && !Number.isFinite(limit)) wrong.push(name);
    else if (limit !== before[name]) changes[name] = limit;
  }
  const priority = PRIORITIES.find((known) => known === typed("priority"));
  if (priority !== undefined && priority !== before.priority) changes.priority = priority;
  return { changes, wrong };
}

/**
 * Why it cannot be made as it stands; empty if the coordinator may be asked.
 * @param {string} owner
 * @param {string} name
 * @returns {{ problem: string, field: FieldName | null }}
 */
export function obstacleTo(owner, name) {
  if (owner === "") return { problem: "It needs an owner: the account that it belongs to.", field: "owner" };
  if (name === "") return { problem: "It needs a name, by which you know it later.", field: "name" };
  return { problem: "", field: null };
}

/**
 * @param {SettingName} name
 * @param {string} typed
 */
export const noNumber = (name, typed) => `${LABELS[name]}: "${typed.trim()}" is no number.`;

/**
 * A refusal with the field as the form calls it.
 * @param {ApiError} error
 */
export function refusalOf(error) {
  const { param, message, code } = error;
  if (code === "not_found") {
    return "The coordinator does not know it: it is revoked, or was made elsewhere less than a minute ago.";
  }
  if (param === null || !isField(param) || !message.startsWith(`${param}: `)) return sentenceOf(error);
  return `${LABELS[param]}: ${message.slice(`${param}: `.length)}.`;
}

/**
 * @param {string} param
 * @returns {param is FieldName}
 */
function isField(param) {
  return Object.hasOwn(LABELS, param);
}

/**
 * What came of making one that did not go well.
 * @param {ApiError} error
 */
export function unmadeSentence(error) {
  if (!error.isUnanswered) return refusalOf(error);
  return (
    "No answer: it may have been made all the same, with a secret that nobody has seen. Refresh in a minute, and " +
    "revoke it if it is in the list."
  );
}

/** @param {KeyRow} row as it is from now on */
export function changedSentence({ name, owner }) {
  return `The key ${name} of ${owner} is changed.`;
}
