/** @import { Entry } from "./model-entry.js" */

/**
 * What an aggregator is told of a model, as a form: the `listing` of a catalog's entry. Prices are typed in dollars for a
 * million tokens, as everybody quotes them, and kept for one. Which values are good is the coordinator's to say.
 */

/** @typedef {"text" | "names" | "count" | "millions" | "dollars" | "day" | "choice"} ListingKind */

/**
 * @typedef {object} ListingField
 * @property {string} name as the API names it, within the listing
 * @property {string} label
 * @property {ListingKind} kind
 * @property {boolean} [isLong]
 * @property {boolean} [isNeeded]
 * @property {readonly string[]} [choices]
 */

const QUANTIZATIONS = [
  "int4",
  "int8",
  "fp4",
  "mxfp4",
  "nvfp4",
  "fp6",
  "fp8",
  "mxfp8",
  "fp16",
  "bf16",
  "fp32",
];

/** @type {readonly ListingField[]} */
export const LISTING_FIELDS = [
  { name: "name", label: "The name that buyers read", kind: "text", isLong: true, isNeeded: true },
  { name: "description", label: "Description", kind: "text", isLong: true },
  { name: "output", label: "Answers with", kind: "choice", choices: ["text", "embeddings"] },
  { name: "pricing.prompt", label: "Prompt, $ per million tokens", kind: "millions", isNeeded: true },
  { name: "pricing.completion", label: "Answer, $ per million tokens", kind: "millions" },
  { name: "pricing.cached_prompt", label: "Cached prompt, $ per million", kind: "millions" },
  { name: "pricing.request", label: "Each request, $", kind: "dollars" },
  { name: "max_output_length", label: "Longest answer, tokens", kind: "count" },
  { name: "quantization", label: "Quantization", kind: "choice", choices: ["", ...QUANTIZATIONS] },
  { name: "created", label: "Model came out, day", kind: "day" },
  { name: "deprecation_date", label: "Sold until, day", kind: "text" },
  { name: "hugging_face_id", label: "On Hugging Face, owner/name", kind: "text" },
  { name: "slug", label: "On OpenRouter, owner/name", kind: "text" },
  { name: "countries", label: "Countries of the machines, with commas", kind: "names", isLong: true },
  {
    name: "features",
    label: "Features, with commas: tools, json_mode, structured_outputs, reasoning",
    kind: "names",
    isLong: true,
  },
];

const TOKENS = 6;

/** @param {number} at of UTC */
const dayOf = (at) => new Date(at).toISOString().slice(0, 10);

/**
 * @param {ListingField} field
 * @param {Entry} listing
 */
export function listingText({ name, kind }, listing) {
  const value = valueAt(listing, name);
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "string") return kind === "millions" ? shifted(value, TOKENS) : value;
  if (typeof value !== "number") return "";
  return kind === "day" ? dayOf(value * 1000) : String(value);
}

/**
 * @param {Entry} before as it was read; empty for a new one
 * @param {(field: ListingField) => string} typed
 * @returns {{ listing: Entry, wrong: readonly string[] }} `wrong` hold no number or day; named as in a catalog's entry
 */
export function listingOf(before, typed) {
  /** @type {string[]} */
  const wrong = [];
  /** @type {Record<string, unknown>} */
  const listing = { ...before };
  /** @type {Record<string, unknown>} */
  const pricing = { ...entryAt(before, "pricing") };
  for (const field of LISTING_FIELDS) {
    const text = typed(field).trim();
    const [first = "", price] = field.name.split(".");
    const [place, name] = price === undefined ? [listing, first] : [pricing, price];
    // What is not touched stays as it was written, to the hour and to the last zero.
    if (text === listingText(field, before)) continue;
    if (text === "") {
      delete place[name];
      continue;
    }
    const value = valueOf(field, text);
    if (value === null) wrong.push(`listing.${field.name}`);
    else place[name] = value;
  }
  return { listing: { ...listing, pricing }, wrong };
}

/**
 * @param {ListingField} field
 * @param {string} text
 * @returns {unknown} null if it is no such thing
 */
function valueOf({ kind }, text) {
  switch (kind) {
    case "names":
      return text.split(",").flatMap((name) => name.trim() || []);
    case "count":
      return Number.isFinite(Number(text)) ? Number(text) : null;
    case "millions":
      return isDecimal(text) ? shifted(text, -TOKENS) : null;
    case "dollars":
      return isDecimal(text) ? shifted(text, 0) : null;
    case "day": {
      const at = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(text) : NaN;
      // The 31st of February would be a day in March.
      return Number.isFinite(at) && dayOf(at) === text ? at / 1000 : null;
    }
    case "text":
    case "choice":
      return text;
  }
}

/** @param {string} text */
const isDecimal = (text) => /^(\d+\.?\d*|\.\d+)$/.test(text);

/**
 * A decimal with its point moved to the right. A number would be rounded on its way.
 * @param {string} decimal without a sign
 * @param {number} places to the left if negative
 */
function shifted(decimal, places) {
  const [whole = "", part = ""] = decimal.split(".");
  const width = Math.abs(places);
  const digits = `${"0".repeat(width)}${whole}${part}${"0".repeat(width)}`;
  const point = width + whole.length + places;
  const left = digits.slice(0, point).replace(/^0+/, "") || "0";
  const right = digits.slice(point).replace(/0+$/, "");
  return right === "" ? left : `${left}.${right}`;
}

/**
 * @param {Entry} entry
 * @param {string} path
 */
function valueAt(entry, path) {
  const [first = "", second] = path.split(".");
  return second === undefined ? entry[first] : entryAt(entry, first)[second];
}

/**
 * @param {Entry} entry
 * @param {string} name
 * @returns {Entry} empty if there is none
 */
export function entryAt(entry, name) {
  const value = entry[name];
  return typeof value === "object" && value !== null ? { ...value } : {};
}
