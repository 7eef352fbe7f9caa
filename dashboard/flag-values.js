/** @import { FlagName } from "../core/flags.ts" */
import { count } from "./format.js";

/**
 * What each flag is for, and which values it takes, so that the page can offer them. The coordinator checks them again
 * and has the last word; a test holds the two together.
 */

/**
 * @typedef {{ readonly kind: "choice", readonly choices: readonly string[] }
 *   | { readonly kind: "whole", readonly min: number, readonly max: number, readonly unit: string }
 *   | { readonly kind: "text", readonly hint: string }} FlagValues
 */

/** @typedef {{ readonly about: string, readonly values: FlagValues }} FlagWords */

/**
 * @param {readonly string[]} choices
 * @returns {FlagValues}
 */
const oneOf = (...choices) => ({ kind: "choice", choices });

/**
 * @param {number} min
 * @param {number} max
 * @param {string} unit
 * @returns {FlagValues}
 */
const whole = (min, max, unit) => ({ kind: "whole", min, max, unit });

/**
 * @param {string} hint
 * @returns {FlagValues}
 */
const written = (hint) => ({ kind: "text", hint });

/** @type {Readonly<Record<FlagName, FlagWords>>} */
export const FLAG_WORDS = {
  assignment_gate: { about: "Whether machines are assigned to models", values: oneOf("off", "on") },
  placement: {
    about: "Shadow plans and shows, enforce also moves machines",
    values: oneOf("off", "shadow", "enforce"),
  },
  pool_exhausted_429: {
    about: "Whether a model without a machine answers 429 instead of 503",
    values: oneOf("off", "on"),
  },
  tick_seconds: { about: "How often the fleet is looked at", values: whole(5, 3600, "seconds") },
  min_dwell_seconds: {
    about: "A machine that was moved stays at least this long",
    values: whole(0, 86_400, "seconds"),
  },
  max_loads_per_tick: {
    about: "Moves of one tick; 0 moves nothing",
    values: whole(0, 100_000, "moves"),
  },
  max_pending_loads: {
    about: "Loads under way at once; 0 moves nothing",
    values: whole(0, 100_000, "loads"),
  },
  load_cooldown_seconds: {
    about: "After a failed load, until it is tried again",
    values: whole(0, 86_400, "seconds"),
  },
  decode_floor_tps: {
    about: "Slower streams do not count as served",
    values: whole(0, 1_000_000, "tokens/s"),
  },
  ttft_limit_ms: {
    about: "Longest first token that is worth a try, plus 1 ms per prompt token",
    values: whole(1, 600_000, "ms"),
  },
  queue_max: { about: "Requests that may wait in one pool", values: whole(0, 100_000, "requests") },
  queue_wait_ms: { about: "How long one may wait", values: whole(0, 60_000, "ms") },
  min_trust_level: { about: "Without effect yet", values: oneOf("none", "self_signed", "hardware") },
  min_provider_version: {
    about: "Older providers are told to update, and stop",
    values: written("a version such as 0.6.18, or none"),
  },
  assign_min_provider_version: {
    about: "Machines with an older provider take no orders",
    values: written("a version such as 0.6.18"),
  },
  shed_models: {
    about: "Requests for these models are refused",
    values: written("ids of models, with commas; empty for none"),
  },
};

/**
 * A flag that is newer than this page is a text without a word.
 * @param {string} name
 * @returns {FlagWords}
 */
export function flagWords(name) {
  /** @type {Readonly<Record<string, FlagWords>>} */
  const known = FLAG_WORDS;
  return (Object.hasOwn(known, name) ? known[name] : undefined) ?? { about: "", values: written("") };
}

/** @param {FlagValues} values */
export function hintOf(values) {
  switch (values.kind) {
    case "choice":
      return "";
    case "whole":
      return `${count(values.min)} to ${count(values.max)} ${values.unit}`;
    case "text":
      return values.hint;
  }
}
