/** @import { ListingField } from "./listing-entry.js" */
/** @import { Entry } from "./model-entry.js" */
import { byId, elementOf, make } from "./dom.js";
import { LISTING_FIELDS, listingOf, listingText } from "./listing-entry.js";

/** The part of a model's dialog that is about selling it: one box says whether it is listed, and the fields follow it. */

const isListed = elementOf(HTMLInputElement, "listing-on");
const part = byId("listing-part");
const place = byId("listing-fields");

const controls = new Map(LISTING_FIELDS.map((field) => [field.name, controlFor(field)]));

isListed.addEventListener("input", show);

/** @param {Entry | null} listing null for a model that is not sold */
export function fillListing(listing) {
  isListed.checked = listing !== null;
  for (const field of LISTING_FIELDS) {
    const control = controls.get(field.name);
    if (control !== undefined) control.value = listingText(field, listing ?? { output: "text" });
  }
  show();
}

/**
 * @param {Entry} before
 * @returns {ReturnType<typeof listingOf> | null} null if it is not to be sold
 */
export function typedListing(before) {
  return isListed.checked ? listingOf(before, ({ name }) => controls.get(name)?.value ?? "") : null;
}

/** Those that can be marked as wrong, by the names that the API has for them in an entry. */
export const listingControls = [...controls].map(
  ([name, control]) => /** @type {const} */ ([`listing.${name}`, control]),
);

function show() {
  part.hidden = !isListed.checked;
}

/** @param {ListingField} field */
function controlFor({ label, kind, isLong, isNeeded, choices }) {
  const line = place.appendChild(make("label", isLong === true ? "long" : "", label));
  const control = choices === undefined ? make("input") : make("select");
  if (control instanceof HTMLInputElement) {
    control.autocomplete = "off";
    control.spellcheck = kind === "text" && isLong === true;
    if (kind === "count" || kind === "millions" || kind === "dollars") control.inputMode = "decimal";
    if (kind === "day") control.placeholder = "2026-10-31";
  } else {
    for (const choice of choices ?? [])
      control.append(new Option(choice === "" ? "not said" : choice, choice));
  }
  control.required = isNeeded === true;
  control.setAttribute("aria-describedby", "listing-hint model-report");
  line.append(control);
  return control;
}
