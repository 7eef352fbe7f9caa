import type { Catalog, CatalogEntry } from "./catalog.ts";
import type { ModelCapacity } from "./fleet/capacity.ts";
import { ENGINE_FEATURES, type Feature, type Listing } from "./listing.ts";

/**
 * The models that an operator sells, as OpenRouter reads them from its providers: version 2.4 of its schema
 * (https://openrouter.ai/docs/guides/providers/integration), which knows no other fields and takes none for null.
 * What a model can take now comes from its pool.
 */
export function modelFeed({ entries }: Catalog, capacities: readonly ModelCapacity[]): { data: object[] } {
  const byId = new Map(capacities.map((capacity) => [capacity.id, capacity]));
  const data = entries.flatMap((entry) => {
    const { listing } = entry;
    return listing === undefined ? [] : [modelDocument(entry, listing, byId.get(entry.id))];
  });
  return { data };
}

function modelDocument(entry: CatalogEntry, listing: Listing, capacity: ModelCapacity | undefined): object {
  const { pricing, slug, countries } = listing;
  // No longer than what is taken now: what is sold must not be refused.
  const contextLength = Math.min(entry.context_length, capacity?.context_length ?? Infinity);
  const datacenters = countries.map((code) => ({ country_code: code }));
  return {
    schema_version: "2.4",
    id: entry.id,
    name: listing.name,
    ...withoutNulls({
      description: listing.description,
      hugging_face_id: listing.hugging_face_id,
      created: listing.created,
      quantization: listing.quantization,
      deprecation_date: listing.deprecation_date,
      openrouter: slug === null ? null : { slug },
      datacenters: datacenters.length === 0 ? null : datacenters,
      pricing: pricing.request === null ? null : [price("request", "request", pricing.request)],
    }),
    ...live(capacity),
    input_modalities: [textInput(contextLength, listing)],
    output_modalities: [listing.output === "text" ? textOutput(contextLength, listing) : EMBEDDINGS_OUTPUT],
  };
}

/**
 * `is_ready: false` takes a model off the market. So it is said neither of a pool that was only too slow to answer, nor while
 * machines are dialing again, as all do after a deploy. A model that the fleet does not know, or not yet, has no machine.
 */
function live(capacity: ModelCapacity | undefined): object {
  const isExhausted = capacity === undefined || capacity.exhausted;
  const slots = capacity?.slots ?? 0;
  return {
    ...(isExhausted === null ? {} : { is_ready: !isExhausted }),
    ...(slots > 0 ? { capacity: [{ type: "concurrency", unit: "request", value: slots }] } : {}),
  };
}

function textInput(contextLength: number, { pricing }: Listing): object {
  const { prompt, cached_prompt: cached } = pricing;
  return {
    type: "text",
    supported_inputs: { max_context_length: tokens(contextLength) },
    pricing: [
      price("prompt", "token", prompt),
      // Machines keep what they have read of their own accord; a request cannot ask for it.
      ...(cached === null ? [] : [{ ...price("cached_prompt", "token", cached), implicit: true }]),
    ],
  };
}

function textOutput(contextLength: number, listing: Listing): object {
  const { completion } = listing.pricing;
  const longest = Math.min(contextLength, listing.max_output_length ?? Infinity);
  return {
    type: "text",
    streaming: true,
    max_length: tokens(longest),
    supported_parameters: {
      max_tokens: { type: "integer", min: 1, max: longest, unit: "token" },
      ...SAMPLING,
      ...features(listing.features ?? ENGINE_FEATURES),
    },
    ...(completion === null ? {} : { pricing: [price("completion", "token", completion)] }),
  };
}

/** What our provider's engine takes, by the names and within the bounds that it shares with OpenRouter. */
const SAMPLING = {
  temperature: { type: "range", min: 0, max: 2 },
  top_p: { type: "range", min: 0, max: 1 },
  top_k: { type: "integer", min: 0 },
  min_p: { type: "range", min: 0, max: 1 },
  frequency_penalty: { type: "range", min: -2, max: 2 },
  presence_penalty: { type: "range", min: -2, max: 2 },
  seed: { type: "integer" },
  stop: { type: "array", max_items: 4 },
} as const;

/** A feature that is not there is not supported. */
function features(supported: readonly Feature[]): object {
  const has = (feature: Feature) => supported.includes(feature);
  const formats = [
    ...(has("json_mode") ? ["json_object"] : []),
    ...(has("structured_outputs") ? ["json_schema"] : []),
  ];
  return {
    // A choice is a word, or an object that names a tool; the schema has no words for that.
    ...(has("tools") ? { tools: { type: "boolean" }, tool_choice: { type: "unknown" } } : {}),
    ...(formats.length > 0 ? { response_format: responseFormat(["text", ...formats]) } : {}),
    ...(has("structured_outputs") ? { structured_outputs: { type: "boolean" } } : {}),
    ...(has("reasoning") ? { reasoning: { type: "boolean" } } : {}),
  };
}

function responseFormat(values: readonly string[]): object {
  return { type: "object", properties: { type: { type: "enum", values } } };
}

const EMBEDDINGS_OUTPUT = {
  type: "embeddings",
  supported_parameters: { encoding_format: { type: "enum", values: ["float", "base64"] } },
} as const;

function price(type: string, unit: string, dollars: string): object {
  return { type, unit, cost_usd: dollars };
}

function tokens(value: number): object {
  return { value, unit: "token" };
}

function withoutNulls(fields: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}
