/** @import { FlagName, FlagTakes } from "../core/flags.ts" */
import { count } from "./format.js";

/** What each flag is for, and what its numbers count. Which values it takes is the coordinator's to say. */

/** @typedef {{ readonly about: string, readonly unit?: string }} FlagWords */

/** @type {Readonly<Record<FlagName, FlagWords>>} */
const FLAG_WORDS = {
  assignment_gate: { about: "Whether machines are assigned to models" },
  placement: { about: "Shadow plans and shows, enforce also moves machines" },
  placement_trial_days: {
    about: "Days in a row that shadow must win before enforce moves machines; 0 moves them at once",
    unit: "days",
  },
  pool_exhausted_429: { about: "Whether a model without a machine answers 429 instead of 503" },
  tick_seconds: { about: "How often the fleet is looked at", unit: "seconds" },
  min_dwell_seconds: { about: "A machine that was moved stays at least this long", unit: "seconds" },
  max_loads_per_tick: { about: "Moves of one tick; 0 moves nothing", unit: "moves" },
  max_pending_loads: { about: "Loads under way at once; 0 moves nothing", unit: "loads" },
  load_cooldown_seconds: { about: "After a failed load, until it is tried again", unit: "seconds" },
  decode_floor_tps: { about: "Slower streams do not count as served", unit: "tokens/s" },
  ttft_limit_ms: { about: "Longest first token that is worth a try, plus 1 ms per prompt token", unit: "ms" },
  queue_max: { about: "Requests that may wait in one pool", unit: "requests" },
  queue_wait_ms: { about: "How long one may wait", unit: "ms" },
  min_trust_level: { about: "What machines must prove to get public requests" },
  min_provider_version: { about: "Older providers finish, are told to update, and stop" },
  assign_min_provider_version: { about: "Machines with an older provider take no orders" },
  shed_models: { about: "Requests for these models are refused" },
};

/**
 * A flag that is newer than this page has no words.
 * @param {string} name
 * @returns {FlagWords}
 */
export function wordsOf(name) {
  /** @type {Readonly<Record<string, FlagWords>>} */
  const known = FLAG_WORDS;
  return (Object.hasOwn(known, name) ? known[name] : undefined) ?? { about: "" };
}

/**
 * What may be typed. A list of choices shows them itself.
 * @param {string} name
 * @param {FlagTakes} takes
 */
export function hintOf(name, takes) {
  if ("choices" in takes) return "";
  if ("text" in takes) return takes.text;
  return [`${count(takes.min)} to ${count(takes.max)}`, wordsOf(name).unit ?? ""].join(" ").trimEnd();
}
