import { describe, expect, it } from "vitest";

import { parseCatalog } from "../../../core/catalog.ts";
import type { ModelCapacity } from "../../../core/fleet/capacity.ts";
import { modelFeed } from "../../../core/model-feed.ts";
import { openrouterFeed, type ModelDocument } from "../../support/openrouter-schema.ts";

/** What the feed makes of the word of a pool. */

const CAPACITY: ModelCapacity = {
  id: "a",
  serving: 2,
  slots: 8,
  free_slots: 0,
  context_length: null,
  exhausted: false,
  ttft_p50_ms: null,
  queued: 3,
  loading: 1,
  eta_s: 20,
};

function fed(capacities: readonly ModelCapacity[], listing: object = {}): ModelDocument | undefined {
  const pricing = { prompt: "0.0000002", completion: "0.0000008" };
  const sold = { name: "A", pricing, ...listing };
  const parsed = parseCatalog([{ id: "a", context_length: 4096, size_gb: 1, min_ram_gb: 2, listing: sold }]);
  if (!parsed.ok) throw new Error(parsed.message);
  return openrouterFeed.parse(modelFeed(parsed.catalog, capacities)).data[0];
}

describe("a model in the feed", () => {
  it("is ready with what its machines can run at once, however busy they are", () => {
    expect(fed([CAPACITY])).toMatchObject({
      is_ready: true,
      capacity: [{ type: "concurrency", unit: "request", value: 8 }],
    });
  });

  it("is not ready without a machine, be one on its way or the fleet not know the model", () => {
    const none = { ...CAPACITY, serving: 0, slots: 0, exhausted: true };
    for (const capacities of [[none], [], [{ ...CAPACITY, id: "b" }]]) {
      const document = fed(capacities);
      expect(document).toMatchObject({ is_ready: false });
      expect(document).not.toHaveProperty("capacity");
    }
  });

  it("stays ready while the machines that it had may be back in a moment, though it can promise nothing", () => {
    const document = fed([{ ...CAPACITY, serving: 0, slots: 0, exhausted: false }]);
    expect(document).toMatchObject({ is_ready: true });
    expect(document).not.toHaveProperty("capacity");
  });

  it("is no longer than its machines take now, and no longer than the catalog says", () => {
    const document = fed([{ ...CAPACITY, context_length: 2048 }]);
    expect(JSON.stringify(document)).toContain('"max_context_length":{"value":2048,"unit":"token"}');
    expect(JSON.stringify(document)).toContain('"max_length":{"value":2048,"unit":"token"}');
    expect(fed([{ ...CAPACITY, context_length: 8192 }])).toEqual(fed([CAPACITY]));
    expect(JSON.stringify(fed([CAPACITY]))).toContain('"max_context_length":{"value":4096,"unit":"token"}');
  });

  it("promises no longer answer than a request may be, and none longer than the listing says", () => {
    const longest = (listed: number, taken: number) =>
      JSON.stringify(fed([{ ...CAPACITY, context_length: taken }], { max_output_length: listed }));
    expect(longest(3000, 2048)).toContain('"max_length":{"value":2048,');
    expect(longest(1000, 2048)).toContain('"max_length":{"value":1000,');
  });

  it("is not taken off the market because its pool was too slow to answer", () => {
    const unknown = { serving: null, slots: null, free_slots: null, exhausted: null, queued: null };
    const document = fed([{ ...CAPACITY, ...unknown }]);
    expect(document).not.toHaveProperty("is_ready");
    expect(document).not.toHaveProperty("capacity");
  });

  it.each([
    [[], undefined, []],
    [["json_mode"], ["text", "json_object"], ["response_format"]],
    [["structured_outputs"], ["text", "json_schema"], ["response_format", "structured_outputs"]],
    [["tools"], undefined, ["tool_choice", "tools"]],
  ])("has the features that its listing leaves it: %j", (features, formats, named) => {
    const parameters = fed([CAPACITY], { features })?.output_modalities[0]?.supported_parameters ?? {};
    const all = ["response_format", "structured_outputs", "tool_choice", "tools", "reasoning"];
    expect(all.filter((name) => name in parameters).toSorted()).toEqual(named);
    expect(parameters["response_format"]).toEqual(
      formats && { type: "object", properties: { type: { type: "enum", values: formats } } },
    );
  });
});
