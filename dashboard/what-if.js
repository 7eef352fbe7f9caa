/** @import { ApiError } from "./api-error.js" */
/** @import { Preview } from "./api.js" */
/** @import { Snapshot } from "./snapshot.js" */
import { sentenceOf } from "./api-error.js";
import { count, decimal, many } from "./format.js";
import { byModel } from "./lists.js";

/** "What would be planned if …?": what can be asked, the question as the API takes it, and its answer in a sentence. */

/** @typedef {"max_loads_per_tick" | "max_pending_loads" | "min_dwell_seconds"} Knob */

/** @type {readonly { readonly name: Knob, readonly label: string }[]} */
export const KNOBS = [
  { name: "max_loads_per_tick", label: "Moves of one tick" },
  { name: "max_pending_loads", label: "Loads under way" },
  { name: "min_dwell_seconds", label: "Shortest stay, seconds" },
];

/** @typedef {Partial<Record<Knob, number>> & { demand: Record<string, { requests_per_second: number }> }} Asked */

/**
 * One model, and what is asked of it now.
 * @typedef {object} DemandField
 * @property {string} model
 * @property {string} now requests/s
 */

/**
 * @param {Snapshot} snapshot
 * @returns {DemandField[]}
 */
export function demandFields({ utilization, placement }) {
  return byModel(utilization.model_pools.pools).map(({ model_id: model }) => {
    const measured = placement.models.find(({ model_id }) => model_id === model);
    return { model, now: measured === undefined ? "0" : decimal(measured.demand_rps) };
  });
}

/** @typedef {{ name: string, text: string }} Field as it was typed */

/**
 * Empty fields are left as they are in the fleet.
 * @param {readonly Field[]} knobs
 * @param {readonly Field[]} demand by model
 * @returns {{ asked: Asked, wrong: readonly Field[] }} `wrong` are those that hold no number
 */
export function questionOf(knobs, demand) {
  const isTyped = (/** @type {Field} */ { text }) => text.trim() !== "";
  const isNumber = (/** @type {Field} */ { text }) => Number.isFinite(Number(text));
  const typed = { knobs: knobs.filter(isTyped), demand: demand.filter(isTyped) };
  return {
    asked: {
      ...Object.fromEntries(typed.knobs.map(({ name, text }) => [name, Number(text)])),
      demand: Object.fromEntries(
        typed.demand.map(({ name, text }) => [name, { requests_per_second: Number(text) }]),
      ),
    },
    wrong: [...typed.knobs, ...typed.demand].filter((field) => !isNumber(field)),
  };
}

/**
 * Whether a refusal is about this field: `max_loads_per_tick`, or `demand.<model>.requests_per_second`.
 * @param {string} name
 * @param {ApiError} error
 */
export function isAbout(name, { param }) {
  return param === name || param === `demand.${name}.requests_per_second`;
}

/**
 * A refusal without the path by which the API names the field.
 * @param {ApiError} error
 */
export function refusalOf(error) {
  const { param, message } = error;
  const model = param === null ? null : /^demand\.(.*)\.requests_per_second$/.exec(param)?.[1];
  if (param === null || model == null || !message.startsWith(param)) return sentenceOf(error);
  return `Demand of ${model}${message.slice(param.length)}.`;
}

/** @param {Preview} preview */
export function answerSentence({ moves, machines }) {
  if (moves.length > 0) {
    return `It would move ${many(moves.length, "machine")} and leave ${count(machines.length)}. Nothing was changed.`;
  }
  return machines.length === 0 ? "There is no machine that it could move." : "It would move nothing.";
}
