import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { listingSchema } from "../../../core/listing.ts";
import { ApiError } from "../../../dashboard/api-error.js";
import {
  LISTING_FIELDS,
  listingOf,
  listingText,
  type ListingField,
} from "../../../dashboard/listing-entry.js";
import { refusalOf, type Entry } from "../../../dashboard/model-entry.js";

/** The part of a model's form that is about selling it. The coordinator decides what is a good listing. */

const FULL = listingSchema.parse({
  name: "A",
  description: "One of many.",
  pricing: { prompt: "0.00000030", cached_prompt: "0.00000003", completion: "0.0000008", request: "0.001" },
  max_output_length: 4096,
  quantization: "mxfp4",
  features: ["tools", "reasoning"],
  hugging_face_id: "org/a",
  slug: "org/a",
  created: 1_754_400_123,
  countries: ["DE", "FR"],
  deprecation_date: "2027-06-01T15:00:00Z",
});

const typedFor =
  (listing: Entry, typed: Readonly<Record<string, string>> = {}) =>
  (field: ListingField): string =>
    typed[field.name] ?? listingText(field, listing);

const pricesIn = (typed: Readonly<Record<string, string>>) =>
  listingOf({}, typedFor({}, typed)).listing["pricing"];

describe("a listing", () => {
  it("has a field in the form for each that it may have", () => {
    const { pricing, ...rest } = FULL;
    const paths = [...Object.keys(rest), ...Object.keys(pricing).map((name) => `pricing.${name}`)];
    expect(LISTING_FIELDS.map(({ name }) => name).toSorted()).toEqual(paths.toSorted());
  });

  it("is the same if nothing is typed, to the last zero and the hour", () => {
    expect(listingOf(FULL, typedFor(FULL))).toEqual({ listing: FULL, wrong: [] });
    const bare = listingSchema.parse({ name: "A", pricing: { prompt: "0", completion: "0" } });
    expect(listingOf(bare, typedFor(bare))).toEqual({ listing: bare, wrong: [] });
  });

  it("is made of what was typed, and what was left empty is the coordinator's to fill in", () => {
    const { listing, wrong } = listingOf(
      {},
      typedFor(
        { output: "text" },
        {
          name: " gpt-oss 20B ",
          "pricing.prompt": "0.03",
          "pricing.completion": "0.14",
          created: "2026-08-05",
          countries: "DE, ,AT",
          max_output_length: "1024",
        },
      ),
    );
    expect(wrong).toEqual([]);
    expect(listing).toEqual({
      name: "gpt-oss 20B",
      output: "text",
      pricing: { prompt: "0.00000003", completion: "0.00000014" },
      created: Date.UTC(2026, 7, 5) / 1000,
      countries: ["DE", "AT"],
      max_output_length: 1024,
    });
    expect(listingSchema.parse(listing)).toMatchObject({ quantization: null, features: null });
  });

  it("loses what is emptied", () => {
    const { listing } = listingOf(FULL, typedFor(FULL, { "pricing.request": "", features: "", slug: " " }));
    expect(listingSchema.parse(listing)).toEqual({
      ...FULL,
      pricing: { ...FULL.pricing, request: null },
      features: null,
      slug: null,
    });
  });

  it.each([
    ["3", "0.000003"],
    ["0.30", "0.0000003"],
    [".5", "0.0000005"],
    ["12.", "0.000012"],
    ["0", "0"],
    ["1000000", "1"],
  ])("costs for one token a millionth of what was typed: %s", (typed, kept) => {
    expect(pricesIn({ "pricing.prompt": typed })).toEqual({ prompt: kept });
  });

  it("shows each price as it was typed, whatever its digits", () => {
    fc.assert(
      fc.property(fc.nat(99_999), fc.nat(9_999_999), (whole, part) => {
        const digits = String(part).padStart(7, "0").replace(/0+$/, "");
        const typed = digits === "" ? String(whole) : `${whole}.${digits}`;
        const { listing } = listingOf({}, typedFor({}, { "pricing.prompt": typed }));
        const [field] = LISTING_FIELDS.filter(({ name }) => name === "pricing.prompt");
        expect(field === undefined ? "" : listingText(field, listing)).toBe(typed);
      }),
    );
  });

  it.each([
    ["pricing.prompt", "0,03"],
    ["pricing.completion", "-1"],
    ["pricing.request", "1e-3"],
    ["max_output_length", "many"],
    ["created", "2026-02-31"],
    ["created", "5.8.2026"],
  ])("is not sent with what is no number or day: %s %s", (name, text) => {
    expect(listingOf(FULL, typedFor(FULL, { [name]: text })).wrong).toEqual([`listing.${name}`]);
  });

  it.each(
    LISTING_FIELDS.flatMap(({ name, choices = [] }) => choices.map((choice) => [name, choice] as const)),
  )("may have each choice of %s: %s", (name, choice) => {
    const prices = choice === "embeddings" ? { prompt: "0" } : { prompt: "0", completion: "0" };
    const value = choice === "" ? {} : { [name]: choice };
    expect(listingSchema.safeParse({ name: "A", pricing: prices, ...value }).success).toBe(true);
  });

  it("is refused by the names of its fields", () => {
    const refused = (param: string) => refusalOf(new ApiError(`${param}: is required`, { param }));
    expect(refused("listing.pricing.prompt")).toBe("Prompt, $ per million tokens: is required.");
    expect(refused("listing.name")).toBe("The name that buyers read: is required.");
  });
});
