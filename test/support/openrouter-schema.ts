import { z } from "zod";

/**
 * OpenRouter's provider schema 2.4 as far as it is about text and vectors
 * (https://openrouter.ai/docs/assets/provider-monitor-schema-v2.openapi.json). Like the original it takes no other fields.
 */

const dollars = z.string().regex(/^\d+(\.\d+)?$/);
const per = z.enum(["minute", "hour", "day"]);
const units = ["token", "image", "megapixel", "second", "character"] as const;
const value = z.int().min(1);

const inputPrice = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("prompt"), unit: z.enum(units), cost_usd: dollars }),
  z.strictObject({
    type: z.enum(["cached_prompt", "cache_write"]),
    unit: z.enum(units),
    cost_usd: dollars,
    ttl_seconds: z.int().min(1).optional(),
    implicit: z.boolean().optional(),
  }),
]);

const outputPrice = z.strictObject({
  type: z.enum(["completion", "internal_reasoning"]),
  unit: z.enum([...units, "request"]),
  cost_usd: dollars,
});

const concurrency = z.strictObject({ type: z.literal("concurrency"), unit: z.literal("request"), value });
const requests = z.strictObject({ type: z.literal("request"), unit: z.literal("request"), per, value });

const unit = z.enum(["second", "pixel", "byte", "token", "character"]).optional();
const limit = z.strictObject({ value, unit });
const bounds = { min: z.number().optional(), max: z.number().optional(), unit };

const descriptor = z.discriminatedUnion("type", [
  z.strictObject({ type: z.enum(["range", "integer"]), ...bounds }),
  z.strictObject({ type: z.enum(["boolean", "unknown"]) }),
  z.strictObject({ type: z.literal("enum"), values: z.array(z.union([z.string(), z.number()])) }),
  z.strictObject({ type: z.literal("array"), max_items: z.int().min(1).optional() }),
  z.strictObject({
    type: z.literal("object"),
    get properties() {
      return z.record(z.string(), descriptor);
    },
  }),
]);

const supported_parameters = z.record(z.string(), descriptor);

const modelDocument = z.strictObject({
  schema_version: z.literal("2.4"),
  id: z.string(),
  name: z.string(),
  hugging_face_id: z.string().optional(),
  created: z.int().optional(),
  quantization: z
    .enum(["int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32"])
    .optional(),
  description: z.string().optional(),
  input_modalities: z
    .array(
      z.strictObject({
        type: z.literal("text"),
        supported_inputs: z
          .strictObject({ max_context_length: limit.optional(), max_prompt_length: limit.optional() })
          .optional(),
        pricing: z.array(inputPrice).optional(),
      }),
    )
    .min(1),
  output_modalities: z
    .array(
      z.discriminatedUnion("type", [
        z.strictObject({
          type: z.literal("text"),
          max_length: limit.optional(),
          streaming: z.boolean().optional(),
          supported_parameters,
          pricing: z.array(outputPrice).optional(),
        }),
        z.strictObject({
          type: z.literal("embeddings"),
          supported_parameters,
          pricing: z.array(outputPrice).optional(),
        }),
      ]),
    )
    .min(1),
  pricing: z
    .array(z.strictObject({ type: z.literal("request"), unit: z.literal("request"), cost_usd: dollars }))
    .optional(),
  capacity: z.array(z.discriminatedUnion("type", [concurrency, requests])).optional(),
  deprecation_date: z.union([z.iso.date(), z.iso.datetime()]).optional(),
  is_ready: z.boolean().optional(),
  openrouter: z.strictObject({ slug: z.string() }).optional(),
  datacenters: z
    .array(z.strictObject({ country_code: z.string().length(2), region: z.string().optional() }))
    .optional(),
});

export const openrouterFeed = z.strictObject({ data: z.array(modelDocument) });
export type ModelDocument = z.infer<typeof modelDocument>;
