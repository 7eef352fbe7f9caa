import { describe, expect, it } from "vitest";

import { translatorOf } from "../support/messages.ts";
import { ANSWER, chunk, eventsOf, sse, typesOf, USAGE, withoutHead } from "../support/translation.ts";
import { translatedBy } from "./translation-scene.ts";

/** Every event of a stream with every field, since clients build a message out of them. */

describe("a message's events", () => {
  const streamed = (...chunks: object[]): Promise<string> =>
    translatedBy(translatorOf({ thinking: { type: "adaptive" } }), [sse(...chunks)]);

  const used = (input_tokens: number, output_tokens: number) => ({
    input_tokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens,
    output_tokens_details: { thinking_tokens: 0 },
    server_tool_use: null,
    iterations: null,
    fallback_credit: null,
  });

  it("have every field, in order", async () => {
    const text = await streamed(...ANSWER);
    const events = eventsOf(text);
    expect(typesOf(text)).toEqual(events.map(({ type }) => type));

    const place = { cache_creation: null, inference_geo: null, service_tier: "standard", speed: null };
    const start = (index: number, content_block: object) => ({
      type: "content_block_start",
      index,
      content_block,
    });
    const grow = (index: number, delta: object) => ({ type: "content_block_delta", index, delta });
    const stop = (index: number) => ({ type: "content_block_stop", index });
    const used_tool = (id: string, name: string) => ({
      type: "tool_use",
      id,
      name,
      input: {},
      caller: { type: "direct" },
    });
    const input = (partial_json: string) => ({ type: "input_json_delta", partial_json });
    const ping = { type: "ping" };
    expect(events.map(withoutHead)).toEqual([
      { type: "message_start", head: { id: "msg_1", usage: { ...used(4, 0), ...place } } },
      start(0, { type: "thinking", thinking: "", signature: "" }),
      grow(0, { type: "thinking_delta", thinking: "h" }),
      grow(0, { type: "thinking_delta", thinking: "m" }),
      grow(0, { type: "signature_delta", signature: "" }),
      stop(0),
      start(1, { type: "text", text: "", citations: null }),
      grow(1, { type: "text_delta", text: "a" }),
      grow(1, { type: "text_delta", text: "b" }),
      stop(1),
      start(2, used_tool("call_a", "look")),
      grow(2, input("{}")),
      stop(2),
      start(3, used_tool("call_b", "say")),
      grow(3, input('{"input":"x')),
      // What the third call grows by waits for the end of the second.
      ping,
      grow(3, input('y"}')),
      ping,
      stop(3),
      start(4, used_tool("toolu_1_4", "ns__hear")),
      grow(4, input("{}")),
      stop(4),
      {
        type: "message_delta",
        delta: { stop_reason: "tool_use", stop_sequence: null, stop_details: null, container: null },
        context_management: null,
        usage: used(7, 3),
      },
      { type: "message_stop" },
    ]);
  });

  it.each([
    ["length", "max_tokens"],
    ["content_filter", "refusal"],
    ["stop", "end_turn"],
    ["tool_calls", "end_turn"],
  ])("end after %s with the reason %s", async (finish_reason, stop_reason) => {
    const events = eventsOf(await streamed(chunk({ content: "a" }, finish_reason)));
    expect(events.slice(-2)).toMatchObject([
      { type: "message_delta", delta: { stop_reason, stop_sequence: null } },
      { type: "message_stop" },
    ]);
  });

  it("are whole for a machine that has nothing to say", async () => {
    const text = await streamed(chunk({}, "stop"));
    expect(typesOf(text)).toEqual(["message_start", "message_delta", "message_stop"]);
    expect(typesOf(await streamed())).toEqual(typesOf(text));
  });

  it("say what was thought and what a cache has saved", async () => {
    const usage = {
      ...USAGE,
      prompt_tokens_details: { cached_tokens: 5 },
      completion_tokens_details: { reasoning_tokens: 2 },
    };
    expect(eventsOf(await streamed(chunk({ content: "a" }), { choices: [], usage })).at(-2)).toMatchObject({
      usage: {
        input_tokens: 2,
        cache_read_input_tokens: 5,
        output_tokens: 3,
        output_tokens_details: { thinking_tokens: 2 },
      },
    });
  });
});
