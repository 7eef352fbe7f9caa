import type OpenAI from "openai";
import { describe, expect, it } from "vitest";

import type { ResponsesRequest } from "../../../worker/openai/responses-request.ts";
import { ResponsesTranslator } from "../../../worker/openai/responses-translator.ts";
import { translatorTo, USAGE } from "../../support/translation.ts";

/** What a response says of its request and of itself. */

interface OpenFields {
  readonly frequency_penalty: number;
  readonly presence_penalty: number;
  readonly store: boolean;
  readonly text: object;
}

/** The response to a request of which the machine has said a word. */
function answered(fields: object, usage: object = USAGE): unknown {
  const choices = [{ message: { content: "ho" }, finish_reason: "stop" }];
  return translatorTo(fields).whole({ choices, usage: { ...USAGE, ...usage } });
}

describe("each field of a response", () => {
  it("is there, whatever was asked", async () => {
    const request: ResponsesRequest = {
      model: "m",
      input: "hi",
      tools: [{ type: "function", name: "look" }],
      text: { format: { type: "json_schema", name: "thing", schema: {} } },
    };
    let nowS = 10;
    const translator = new ResponsesTranslator("1", request, () => nowS);
    nowS = 12;
    const message = { role: "assistant", content: "ho" };
    const { output, ...response } = translator.whole({
      choices: [{ message, finish_reason: "stop" }],
      usage: USAGE,
    }) as Record<string, unknown>;
    expect(output).toHaveLength(1);
    // The client's own type knows them, but for its own addition and for what only the Open Responses specification says.
    const expected: Omit<OpenAI.Responses.Response, "output_text" | "output" | "text"> & OpenFields = {
      id: "resp_1",
      object: "response",
      access_programs: null,
      created_at: 10,
      completed_at: 12,
      status: "completed",
      background: false,
      error: null,
      frequency_penalty: 0,
      incomplete_details: null,
      instructions: null,
      max_output_tokens: null,
      max_tool_calls: null,
      metadata: {},
      model: "m",
      parallel_tool_calls: true,
      presence_penalty: 0,
      previous_response_id: null,
      prompt_cache_key: null,
      reasoning: { effort: null, summary: null },
      safety_identifier: null,
      service_tier: "default",
      store: false,
      temperature: 1,
      text: { format: { type: "json_schema", name: "thing", schema: {}, description: null, strict: false } },
      tool_choice: "auto",
      tools: [{ type: "function", name: "look", description: null, parameters: null, strict: null }],
      top_logprobs: 0,
      top_p: 1,
      truncation: "disabled",
      usage: {
        input_tokens: 7,
        input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
        output_tokens: 3,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 10,
      },
    };
    expect(response).toEqual(expected);
  });

  it.each([
    ["frequency_penalty", 0.5],
    ["instructions", "be brief"],
    ["max_output_tokens", 9],
    ["max_tool_calls", 3],
    ["metadata", { a: "b" }],
    ["parallel_tool_calls", false],
    ["presence_penalty", -0.5],
    ["prompt_cache_key", "k"],
    ["safety_identifier", "s"],
    ["temperature", 0.5],
    ["tool_choice", "none"],
    ["top_p", 0.5],
  ])("%s is as asked, and is there without", (field, value) => {
    expect(answered({ [field]: value })).toHaveProperty(field, value);
    const without = (answered({}) as Record<string, unknown>)[field];
    expect(without).not.toEqual(value);
    expect(answered({ [field]: null })).toHaveProperty(field, without);
  });

  it.each([
    [undefined, { type: "text" }],
    [{ format: null }, { type: "text" }],
    [{ format: { type: "json_object" } }, { type: "json_object" }],
    [
      { format: { type: "json_schema", name: "n", schema: {}, strict: true, description: "d" } },
      { type: "json_schema", name: "n", schema: {}, strict: true, description: "d" },
    ],
  ])("text of %j says its format", (text, format) => {
    expect(answered({ text })).toHaveProperty("text", { format });
  });

  it("reasoning says the effort that was asked for, and no summary", () => {
    expect(answered({ reasoning: { effort: "max", summary: "auto" } })).toMatchObject({
      reasoning: { effort: "max", summary: null },
    });
  });

  it("usage says what came from a cache and what was thought", () => {
    const details = {
      prompt_tokens_details: { cached_tokens: 5 },
      completion_tokens_details: { reasoning_tokens: 2 },
    };
    expect(answered({}, details)).toMatchObject({
      usage: { input_tokens_details: { cached_tokens: 5 }, output_tokens_details: { reasoning_tokens: 2 } },
    });
    expect(answered({}, { prompt_tokens_details: {}, completion_tokens_details: {} })).toMatchObject({
      usage: { input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } },
    });
  });
});
