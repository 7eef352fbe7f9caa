import { describe, expect, it } from "vitest";

import { RECONNECT_GRACE_MS } from "../../core/limits.ts";
import { openrouterFeed, type ModelDocument } from "../support/openrouter-schema.ts";
import { join } from "./fake-provider.ts";
import {
  addToCatalog,
  ADMIN,
  adminCall,
  advanceClock,
  callAdmin,
  catalogEntry,
  chat,
  errorOf,
  fetchEdge,
  poolOf,
  resetObject,
  scene,
  setFlag,
  stopClock,
  unique,
  untilEmpty,
  type Scene,
} from "./scene.ts";

/** `GET /v1/models?format=openrouter`: what an operator sells, as an aggregator reads it. */

const FEED = "/v1/models?format=openrouter";
const PRICING = { prompt: "0.0000002", completion: "0.0000008" };
const listing = (fields: object = {}) => ({ name: "A model", pricing: PRICING, ...fields });

/** What the feed says of a model. No field of it may be one that OpenRouter does not know. */
async function documentOf(model: string): Promise<ModelDocument | undefined> {
  const response = await fetchEdge(FEED);
  expect([response.status, response.headers.get("cache-control")]).toEqual([200, "public, max-age=2"]);
  return openrouterFeed.parse(await response.json()).data.find(({ id }) => id === model);
}

const past = (at: Scene): Promise<void> => advanceClock(poolOf(at), 2_000);

describe("the feed of an aggregator", () => {
  it("has the models with a listing, under their ids, and can be read without a key", async () => {
    const [sold, unsold, alias] = [unique("org/sold"), unique("unsold"), unique("alias")];
    await addToCatalog(catalogEntry(sold, { aliases: [alias], listing: listing() }), catalogEntry(unsold));
    expect(await documentOf(sold)).toBeDefined();
    expect([await documentOf(unsold), await documentOf(alias)]).toEqual([undefined, undefined]);
  });

  it("says all that the listing and the catalog say, in OpenRouter's words", async () => {
    const id = unique("model");
    const full = listing({
      description: "Reasons.",
      pricing: { ...PRICING, cached_prompt: "0.00000005", request: "0.001" },
      max_output_length: 1000,
      quantization: "mxfp4",
      features: ["tools", "reasoning"],
      hugging_face_id: "openai/gpt-oss-20b",
      slug: "openai/gpt-oss-20b:free",
      created: 1754352000,
      countries: ["DE", "US"],
      deprecation_date: "2027-06-01T15:00:00Z",
    });
    await addToCatalog(catalogEntry(id, { listing: full }));
    expect(await documentOf(id)).toEqual({
      schema_version: "2.4",
      id,
      name: "A model",
      description: "Reasons.",
      hugging_face_id: "openai/gpt-oss-20b",
      created: 1754352000,
      quantization: "mxfp4",
      deprecation_date: "2027-06-01T15:00:00Z",
      openrouter: { slug: "openai/gpt-oss-20b:free" },
      datacenters: [{ country_code: "DE" }, { country_code: "US" }],
      pricing: [{ type: "request", unit: "request", cost_usd: "0.001" }],
      is_ready: false,
      input_modalities: [
        {
          type: "text",
          supported_inputs: { max_context_length: { value: 4096, unit: "token" } },
          pricing: [
            { type: "prompt", unit: "token", cost_usd: "0.0000002" },
            { type: "cached_prompt", unit: "token", cost_usd: "0.00000005", implicit: true },
          ],
        },
      ],
      output_modalities: [
        {
          type: "text",
          streaming: true,
          max_length: { value: 1000, unit: "token" },
          supported_parameters: {
            max_tokens: { type: "integer", min: 1, max: 1000, unit: "token" },
            temperature: { type: "range", min: 0, max: 2 },
            top_p: { type: "range", min: 0, max: 1 },
            top_k: { type: "integer", min: 0 },
            min_p: { type: "range", min: 0, max: 1 },
            frequency_penalty: { type: "range", min: -2, max: 2 },
            presence_penalty: { type: "range", min: -2, max: 2 },
            seed: { type: "integer" },
            stop: { type: "array", max_items: 4 },
            tools: { type: "boolean" },
            tool_choice: { type: "unknown" },
            reasoning: { type: "boolean" },
          },
          pricing: [{ type: "completion", unit: "token", cost_usd: "0.0000008" }],
        },
      ],
    });
  });

  it("leaves out what nobody has said, and takes the engine's features and the whole context for granted", async () => {
    const id = unique("model");
    await addToCatalog(catalogEntry(id, { listing: listing() }));
    const document = await documentOf(id);
    expect(Object.keys(document ?? {}).toSorted()).toEqual([
      "id",
      "input_modalities",
      "is_ready",
      "name",
      "output_modalities",
      "schema_version",
    ]);
    const formats = { type: "enum", values: ["text", "json_object", "json_schema"] };
    expect(document?.output_modalities).toMatchObject([
      {
        max_length: { value: 4096 },
        supported_parameters: {
          tools: { type: "boolean" },
          structured_outputs: { type: "boolean" },
          response_format: { type: "object", properties: { type: formats } },
        },
      },
    ]);
    expect(document?.output_modalities[0]?.supported_parameters).not.toHaveProperty("reasoning");
  });

  it("has models that make vectors, whose output has neither price nor length", async () => {
    const id = unique("vectors");
    const vectors = { name: "Vectors", output: "embeddings", pricing: { prompt: "0" } };
    await addToCatalog(catalogEntry(id, { listing: vectors }));
    expect(await documentOf(id)).toMatchObject({
      input_modalities: [{ type: "text", pricing: [{ type: "prompt", unit: "token", cost_usd: "0" }] }],
      output_modalities: [
        {
          type: "embeddings",
          supported_parameters: { encoding_format: { type: "enum", values: ["float", "base64"] } },
        },
      ],
    });
  });

  it("follows the pool: a machine that comes makes the model ready, and one that goes takes it away", async () => {
    await stopClock();
    const at = await scene({ max_concurrency: 3, listing: listing() });
    await past(at);
    expect(await documentOf(at.model)).toMatchObject({ is_ready: false });
    expect(await documentOf(at.model)).not.toHaveProperty("capacity");

    const machine = await join(at);
    const second = await join(at);
    await past(at);
    const taken = chat(at);
    const request = await machine.next("inference_request");
    await past(at);
    // A busy machine serves, too.
    expect(await documentOf(at.model)).toMatchObject({
      is_ready: true,
      capacity: [{ type: "concurrency", unit: "request", value: 6 }],
    });
    machine.answer(request, "{}");
    await (await taken).text();

    await setFlag("shed_models", at.model);
    await past(at);
    expect(await documentOf(at.model)).toMatchObject({ is_ready: false });
    expect(await documentOf(at.model)).not.toHaveProperty("capacity");
    await setFlag("shed_models", "");
    await past(at);
    expect(await documentOf(at.model)).toMatchObject({ is_ready: true });

    machine.close();
    second.close();
    await untilEmpty(at);
    await advanceClock(poolOf(at), RECONNECT_GRACE_MS);
    expect(await documentOf(at.model)).toMatchObject({ is_ready: false });
    expect(await documentOf(at.model)).not.toHaveProperty("capacity");
  });

  it("does not take a model off the market for the seconds in which its machines dial again after a deploy", async () => {
    await stopClock();
    const at = await scene({ listing: listing() });
    // The test before has moved the clock.
    await advanceClock(poolOf(at), 600_000);
    const machine = await join(at);
    await resetObject(poolOf(at));
    await machine.closed;
    await past(at);
    expect(await documentOf(at.model)).toMatchObject({ is_ready: true });
    await advanceClock(poolOf(at), RECONNECT_GRACE_MS);
    expect(await documentOf(at.model)).toMatchObject({ is_ready: false });

    await join(at, {}, machine.machineId);
    await past(at);
    expect(await documentOf(at.model)).toMatchObject({ is_ready: true });
  });

  it.each(["", "openai", "OpenRouter", "openrouter2"])("is refused in another format: %j", async (format) => {
    const response = await fetchEdge(`/v1/models?format=${format}`);
    expect(await errorOf(response)).toMatchObject({ status: 400, code: "invalid_request", param: "format" });
  });

  it("leaves the list for clients as it is: with a key, and without a word of prices", async () => {
    const at = await scene({ listing: listing() });
    expect(await errorOf(await fetchEdge("/v1/models"))).toMatchObject({ status: 401 });
    const list = await fetchEdge("/v1/models", { headers: { authorization: `Bearer ${at.apiKey}` } });
    const { data } = await list.json<{ data: { id: string; status: object | null }[] }>();
    // What is known of the pool may be older than the model.
    const { status, ...listed } = data.find(({ id }) => id === at.model) ?? { status: "not listed" };
    expect([null, expect.objectContaining({ ready: false })]).toContainEqual(status);
    expect(listed).toEqual({
      id: at.model,
      object: "model",
      created: 0,
      owned_by: "poolkeeper",
      context_length: 4096,
      aliases: [],
    });
  });
});

describe("a listing", () => {
  it("that is wrong is refused with its field, alone or in a whole catalog, and changes nothing", async () => {
    const at = await scene({ listing: listing() });
    const before = await adminCall<object[]>("GET", "/catalog");
    const wrong = {
      context_length: 4096,
      size_gb: 1,
      min_ram_gb: 2,
      listing: listing({ countries: ["XX"] }),
    };
    expect(await errorOf(await callAdmin("PUT", `/catalog/${at.model}`, wrong))).toMatchObject({
      status: 400,
      param: "listing.countries[0]",
    });
    const catalog = [...before, { id: unique("wrong"), ...wrong }];
    expect(await errorOf(await callAdmin("PUT", "/catalog", catalog))).toMatchObject({
      status: 400,
      param: `[${before.length}].listing.countries[0]`,
    });
    expect(await adminCall("GET", "/catalog")).toEqual(before);
  });

  it("stays while other models or other fields are changed, and goes when it is left out", async () => {
    const at = await scene({ listing: listing() });
    await scene();
    const path = `/catalog/${at.model}`;
    const read = await callAdmin("GET", path);
    const entry = await read.json<{ listing: object }>();
    expect(entry.listing).toMatchObject(listing());
    const changed = await fetchEdge(`/v1/admin${path}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${ADMIN}`, "if-match": read.headers.get("etag") ?? "" },
      body: JSON.stringify({ ...entry, priority: 2 }),
    });
    expect(await changed.json()).toEqual({ ...entry, priority: 2 });
    expect(await documentOf(at.model)).toBeDefined();

    const { listing: gone, ...rest } = entry;
    expect(await adminCall("PUT", path, rest)).not.toHaveProperty("listing");
    expect([gone, await documentOf(at.model)]).toEqual([entry.listing, undefined]);
  });
});
