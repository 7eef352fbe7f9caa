import type Anthropic from "@anthropic-ai/sdk";
import { describe, expect, it } from "vitest";

import { called, translatorOf } from "../../support/messages.ts";
import { USAGE } from "../../support/translation.ts";

/** What a message that comes whole says. */

interface WholeEnd {
  readonly fields?: object;
  readonly finish_reason?: string;
  readonly stop_reason?: unknown;
}

describe("a message", () => {
  const whole = (message: object, { fields = {}, finish_reason = "stop", ...end }: WholeEnd = {}): object =>
    translatorOf(fields).whole({
      choices: [{ message, finish_reason, ...end }],
      usage: USAGE,
    });

  it("has every field that the API's has", () => {
    // The client's own type knows them all, those of the beta too.
    const message: Anthropic.Beta.BetaMessage = {
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "m",
      content: [{ type: "text", text: "ho", citations: null }],
      stop_reason: "end_turn",
      stop_sequence: null,
      stop_details: null,
      container: null,
      context_management: null,
      diagnostics: null,
      usage: {
        input_tokens: 7,
        cache_creation: null,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        fallback_credit: null,
        inference_geo: null,
        iterations: null,
        output_tokens: 3,
        output_tokens_details: { thinking_tokens: 0 },
        server_tool_use: null,
        service_tier: "standard",
        speed: null,
      },
    };
    expect(whole({ content: "ho" })).toEqual(message);
  });

  it.each([
    ["length", "max_tokens"],
    ["content_filter", "refusal"],
    ["stop", "end_turn"],
  ])("that ends with %s has the reason %s", (finish_reason, stop_reason) => {
    expect(whole({ content: "ho" }, { finish_reason })).toMatchObject({ stop_reason });
  });

  it("that a stop sequence has ended says which, if the machine does", () => {
    const told = whole({ content: "ho" }, { stop_reason: "END" });
    expect(told).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: "END" });
    // Some say other things there.
    const untold = whole({ content: "ho" }, { stop_reason: 128_009 });
    expect(untold).toMatchObject({ stop_reason: "end_turn", stop_sequence: null });
    const cut = whole({ content: "ho" }, { finish_reason: "length", stop_reason: "END" });
    expect(cut).toMatchObject({ stop_reason: "max_tokens", stop_sequence: null });
  });

  it.each([
    [{}, 1],
    [{ thinking: { type: "disabled" } }, 1],
    [{ thinking: { type: "adaptive", display: "omitted" } }, 1],
    [{ thinking: { type: "enabled", budget_tokens: 1024 } }, 2],
  ])("shows what the model thought only to those who ask: %j", (fields, blocks) => {
    const message = whole({ reasoning_content: "hm", content: "ho" }, { fields });
    expect(message).toHaveProperty("content.length", blocks);
    expect(message).toHaveProperty(`content.${blocks - 1}.text`, "ho");
  });

  it("has no call that was cut off, but one without input", () => {
    const tool_calls = [called("call_a", "look", ""), called("call_b", "hear", '{"at":')];
    expect(whole({ tool_calls: tool_calls.slice(0, 1) })).toMatchObject({
      content: [{ id: "call_a", input: {} }],
      stop_reason: "tool_use",
    });
    expect(whole({ content: "so", tool_calls }, { finish_reason: "length" })).toMatchObject({
      content: [{ text: "so" }],
      stop_reason: "max_tokens",
    });
    const first = called("call_c", "look", '{"at":1}');
    expect(whole({ tool_calls: [first, ...tool_calls] }, { finish_reason: "length" })).toMatchObject({
      content: [{ id: "call_c", input: { at: 1 } }],
      stop_reason: "max_tokens",
    });
    expect(() => whole({ tool_calls })).toThrow(SyntaxError);
  });

  it("has no input for a call whose arguments are blank", () => {
    expect(whole({ tool_calls: [called("call_a", "look", " \n")] })).toMatchObject({
      content: [{ input: {} }],
    });
  });

  it.each([
    ["says nothing of it", null, { input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 }],
    [
      "has read more from a cache than there was",
      { ...USAGE, prompt_tokens_details: { cached_tokens: 9 } },
      { input_tokens: 0, cache_read_input_tokens: 9, output_tokens: 3 },
    ],
  ])("has used what its machine says, also if that %s", (_, usage, used) => {
    const choices = [{ message: { content: "ho" }, finish_reason: "stop" }];
    expect(translatorOf({}).whole({ choices, usage })).toMatchObject({ usage: used });
  });

  it("gives a call without an id one of its own", () => {
    expect(whole({ tool_calls: [called("", "look")] })).toMatchObject({ content: [{ id: "toolu_1_0" }] });
  });
});
