import { describe, expect, it } from "vitest";

import { tagOfEntry } from "../../../core/catalog-tags.ts";
import { catalogEntrySchema, parseCatalog } from "../../../core/catalog.ts";

/** What an operator tells an aggregator of a model, as part of its catalog entry. */

const PRICING = { prompt: "0.0000002", completion: "0.0000008" };
const LEAST = { name: "A model", pricing: PRICING };

function entry(listing: unknown, fields: object = {}): object {
  return { id: "a", context_length: 4096, size_gb: 1.5, min_ram_gb: 2, listing, ...fields };
}

describe("a listing", () => {
  it("has defaults for all but a name and prices", () => {
    expect(catalogEntrySchema.parse(entry(LEAST)).listing).toEqual({
      name: "A model",
      description: null,
      output: "text",
      pricing: { ...PRICING, cached_prompt: null, request: null },
      max_output_length: null,
      quantization: null,
      features: null,
      hugging_face_id: null,
      slug: null,
      created: null,
      countries: [],
      deprecation_date: null,
    });
  });

  it("is not there for a model that is not sold, so that earlier versions can read the catalog", () => {
    const parsed = catalogEntrySchema.parse(entry(undefined));
    expect(JSON.stringify(parsed)).not.toContain("listing");
  });

  it("can say all there is to say", () => {
    const full = {
      name: "gpt-oss 20B",
      description: "Reasons, and calls tools.",
      output: "text",
      pricing: { ...PRICING, cached_prompt: "0.00000005", request: "0.02" },
      max_output_length: 4096,
      quantization: "mxfp4",
      features: ["tools", "reasoning"],
      hugging_face_id: "openai/gpt-oss-20b",
      slug: "openai/gpt-oss-20b",
      created: 1754352000,
      countries: ["DE", "US"],
      deprecation_date: "2028-02-29T15:00:00Z",
    };
    expect(catalogEntrySchema.parse(entry(full)).listing).toEqual(full);
  });

  it("of a model that makes vectors has a price for what goes in, and none for what comes out", () => {
    const listing = { name: "Vectors", output: "embeddings", pricing: { prompt: "0" } };
    expect(catalogEntrySchema.parse(entry(listing)).listing).toMatchObject(listing);
  });

  it("is part of the entry's tag, in whatever order it was written", () => {
    const tagOf = (listing: unknown) => tagOfEntry(catalogEntrySchema.parse(entry(listing)));
    expect(tagOf({ pricing: PRICING, name: "A model" })).toBe(tagOf(LEAST));
    expect(tagOf({ ...LEAST, slug: "a/b" })).not.toBe(tagOf(LEAST));
  });
});

const VECTORS = { name: "Vectors", output: "embeddings", pricing: { prompt: "0" } };
const priced = (fields: object) => ({ ...LEAST, pricing: { ...PRICING, ...fields } });

describe("a mistake in a listing names the field:", () => {
  it.each([
    ["no object", "yes", "listing", "must be an object"],
    ["no name", { pricing: PRICING }, "listing.name", "is required"],
    ["an empty name", { ...LEAST, name: " " }, "listing.name", "must not be empty"],
    ["no prices", { name: "A" }, "listing.pricing", "is required"],
    ["a price as a number", priced({ prompt: 0.0000002 }), "listing.pricing.prompt", "must be text"],
    ["a negative price", priced({ prompt: "-1" }), "listing.pricing.prompt", "without a sign"],
    ["a price with an exponent", priced({ completion: "2e-7" }), "listing.pricing.completion", "exponent"],
    ["a price without its zero", priced({ prompt: ".5" }), "listing.pricing.prompt", "must be US dollars"],
    [
      "a price for a million",
      priced({ completion: "0.80" }),
      "listing.pricing.completion",
      "not for a million",
    ],
    ["a price for pictures", priced({ image: "0" }), "listing.pricing.image", "there is no such field"],
    ["no price for text", priced({ completion: null }), "listing.pricing.completion", "is required"],
    [
      "a price for vectors",
      { ...VECTORS, pricing: PRICING },
      "listing.pricing.completion",
      "must be left out",
    ],
    ["vectors that call tools", { ...VECTORS, features: ["tools"] }, "listing.features", "must be left out"],
    [
      "vectors that are long",
      { ...VECTORS, max_output_length: 5 },
      "listing.max_output_length",
      "must be left out",
    ],
    ["another output", { ...LEAST, output: "image" }, "listing.output", '"text" or "embeddings"'],
    ["another quantization", { ...LEAST, quantization: "q4_k_m" }, "listing.quantization", '"int4"'],
    ["another feature", { ...LEAST, features: ["tools", "vision"] }, "listing.features[1]", '"json_mode"'],
    ["a country's name", { ...LEAST, countries: ["Germany"] }, "listing.countries[0]", "ISO 3166-1"],
    ["a country that is none", { ...LEAST, countries: ["DE", "XX"] }, "listing.countries[1]", "ISO 3166-1"],
    ["a code in small letters", { ...LEAST, countries: ["de"] }, "listing.countries[0]", "ISO 3166-1"],
    ["a day that is none", { ...LEAST, deprecation_date: "2027-02-29" }, "listing.deprecation_date", "a day"],
    [
      "half an hour",
      { ...LEAST, deprecation_date: "2027-06-01T15:30:00Z" },
      "listing.deprecation_date",
      "a day",
    ],
    ["the day after", { ...LEAST, deprecation_date: "tomorrow" }, "listing.deprecation_date", "a day"],
    [
      "an answer longer than the context",
      { ...LEAST, max_output_length: 4097 },
      "listing.max_output_length",
      "which is 4096",
    ],
    [
      "weights without an owner",
      { ...LEAST, hugging_face_id: "gpt" },
      "listing.hugging_face_id",
      "Hugging Face",
    ],
    ["a slug without an owner", { ...LEAST, slug: "gpt" }, "listing.slug", "OpenRouter"],
    ["a date of its own form", { ...LEAST, created: "2025-08-05" }, "listing.created", "must be a number"],
    ["an unknown field", { ...LEAST, colour: "red" }, "listing.colour", "there is no such field"],
  ])("%s", (_, listing, field, words) => {
    const parsed = parseCatalog([entry({ ...LEAST }), entry(listing, { id: "b" })]);
    expect(parsed).toMatchObject({ ok: false, param: `[1].${field}` });
    expect(parsed.ok ? "" : parsed.message).toContain(words);
    expect(parsed.ok ? "" : parsed.message).toContain(`entry "b": ${field}: `);
  });
});
