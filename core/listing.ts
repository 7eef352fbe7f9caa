import { z } from "zod";

import { isCountryCode } from "./country-codes.ts";

/**
 * The part of a catalog entry for models that are sold through an aggregator: price, origin of the weights, location of the
 * machines. Field names follow OpenRouter's provider schema where it has one.
 */

/** A decimal string such as `0.0000002`, because a number would be rounded. */
const dollars = z
  .string()
  .max(32)
  .regex(/^\d+(\.\d+)?$/, 'must be US dollars as text without a sign or exponent, such as "0.0000002"');

/** Far above any real price per token; a larger value was meant per million tokens. */
const TOO_MANY_DOLLARS = 0.01;

const dollarsPerToken = dollars.refine(
  (price) => Number(price) < TOO_MANY_DOLLARS,
  `must be below ${TOO_MANY_DOLLARS}: it is for one token, not for a million`,
);

/** What our provider's engine does with every model; which models it makes sense of is the operator's to say. */
export const ENGINE_FEATURES = ["tools", "json_mode", "structured_outputs"] as const;
const FEATURES = [...ENGINE_FEATURES, "reasoning"] as const;
export type Feature = (typeof FEATURES)[number];

const listingFields = z.strictObject({
  /** As buyers read it. */
  name: z.string().trim().min(1).max(200),
  description: z.string().trim().min(1).max(1000).nullable().default(null),
  /** What an answer is made of. Neither catalog nor machines say which models make vectors. */
  output: z.enum(["text", "embeddings"]).default("text"),
  /** US dollars. Null is for what is not billed. */
  pricing: z.strictObject({
    prompt: dollarsPerToken,
    /** Of a prompt's tokens, those that a machine had in its cache; null bills them as all others. */
    cached_prompt: dollarsPerToken.nullable().default(null),
    /** Needed for text; embeddings have none. */
    completion: dollarsPerToken.nullable().default(null),
    request: dollars.nullable().default(null),
  }),
  /** Longest answer in tokens; null for all that the context has room for. */
  max_output_length: z.int().min(1).max(100_000_000).nullable().default(null),
  quantization: z
    .enum(["int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32"])
    .nullable()
    .default(null),
  /** Null for `ENGINE_FEATURES`. */
  features: z.array(z.enum(FEATURES)).max(8).nullable().default(null),
  hugging_face_id: z
    .string()
    .max(200)
    .regex(/^[\w.-]+\/[\w.-]+$/, 'must be as on Hugging Face, such as "openai/gpt-oss-20b"')
    .nullable()
    .default(null),
  /** OpenRouter's name of the model. */
  slug: z
    .string()
    .max(200)
    .regex(/^[\w.~-]+\/[\w.:-]+$/, 'must be as on OpenRouter, such as "openai/gpt-oss-20b"')
    .nullable()
    .default(null),
  /** Release date of the model, in seconds since 1970. */
  created: z.int().min(0).max(100_000_000_000).nullable().default(null),
  /** Location of the machines. */
  countries: z
    .array(z.string().refine(isCountryCode, 'must be a country code of ISO 3166-1, such as "DE"'))
    .max(249)
    .default([]),
  /** When it will be withdrawn: a date, or an hour in UTC. */
  deprecation_date: z
    .string()
    .refine(isDayOrHour, 'must be a day or an hour of UTC, such as "2027-06-01" or "2027-06-01T15:00:00Z"')
    .nullable()
    .default(null),
});

export type Listing = z.infer<typeof listingFields>;

export const listingSchema = listingFields.superRefine(function checkOutput(listing, context) {
  const refuse = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
  const { output, pricing, features, max_output_length: longest } = listing;
  if (output === "text") {
    if (pricing.completion === null) refuse(["pricing", "completion"], "is required, for models that write");
    return;
  }
  const message = "must be left out: embeddings are no text that is written";
  if (pricing.completion !== null) refuse(["pricing", "completion"], message);
  if (features !== null) refuse(["features"], message);
  if (longest !== null) refuse(["max_output_length"], message);
});

function isDayOrHour(text: string): boolean {
  const day = /^(\S+?)(?:T(?:[01]\d|2[0-3]):00:00Z)?$/.exec(text)?.[1];
  return z.iso.date().safeParse(day).success;
}

/** Refuses a longest answer above the model's context. */
export function whyTooLong({ max_output_length: longest }: Listing, contextLength: number): string | null {
  return longest === null || longest <= contextLength
    ? null
    : `must be at most the context_length, which is ${contextLength}`;
}
