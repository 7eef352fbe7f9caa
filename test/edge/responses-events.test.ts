import { describe, expect, it } from "vitest";

import {
  ANSWER,
  call,
  chunk,
  eventsOf,
  sse,
  translatorTo,
  typesOf,
  withoutHead,
} from "../support/translation.ts";
import { translatedBy } from "./translation-scene.ts";

/**
 * Every event of a stream with every field, since clients build an answer out of them: what is said where, in which
 * order, and under which number.
 */

const TOOLS = [
  { type: "function", name: "look" },
  { type: "custom", name: "say" },
  { type: "namespace", name: "ns", tools: [{ type: "function", name: "hear" }] },
];

describe("a response's events", () => {
  const streamed = (...chunks: object[]): Promise<string> =>
    translatedBy(translatorTo({ tools: TOOLS }), [sse(...chunks)]);

  it("have every field, in order", async () => {
    const text = await streamed(...ANSWER);
    const events = eventsOf(text);
    expect(typesOf(text)).toEqual(events.map(({ type }) => type));
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual([...events.keys()]);

    const begun = { id: "resp_1", status: "in_progress", output: [], usage: null };
    const output_text = (said: string) => ({
      type: "output_text",
      text: said,
      annotations: [],
      logprobs: [],
    });
    const thought = (status: string, content: object[]) => ({
      id: "rs_1_0",
      type: "reasoning",
      status,
      summary: [],
      content,
    });
    const said = (status: string, content: object[]) => ({
      id: "msg_1_1",
      type: "message",
      status,
      role: "assistant",
      content,
    });
    const looked = (status: string, args: string) => ({
      id: "fc_1_2",
      type: "function_call",
      status,
      call_id: "call_a",
      name: "look",
      arguments: args,
    });
    const spoken = (status: string, input: string) => ({
      id: "ctc_1_3",
      type: "custom_tool_call",
      status,
      call_id: "call_b",
      name: "say",
      input,
    });
    const heard = (status: string, args: string) => ({
      id: "fc_1_4",
      type: "function_call",
      status,
      call_id: "call_1_4",
      namespace: "ns",
      name: "hear",
      arguments: args,
    });
    const output = [
      thought("completed", [{ type: "reasoning_text", text: "hm" }]),
      said("completed", [output_text("ab")]),
      looked("completed", "{}"),
      spoken("completed", "xy"),
      heard("completed", "{}"),
    ];
    const usage = {
      input_tokens: 7,
      input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
      output_tokens: 3,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 10,
    };
    const inThought = { item_id: "rs_1_0", output_index: 0, content_index: 0 };
    const inText = { item_id: "msg_1_1", output_index: 1, content_index: 0 };
    const inLook = { item_id: "fc_1_2", output_index: 2 };
    const inSay = { item_id: "ctc_1_3", output_index: 3 };
    const inHear = { item_id: "fc_1_4", output_index: 4 };
    const added = "response.output_item.added";
    const done = "response.output_item.done";
    const written = "response.function_call_arguments";
    const expected = [
      { type: "response.created", head: begun },
      { type: "response.in_progress", head: begun },
      { type: added, output_index: 0, item: thought("in_progress", []) },
      { type: "response.content_part.added", ...inThought, part: { type: "reasoning_text", text: "" } },
      { type: "response.reasoning_text.delta", ...inThought, delta: "h" },
      { type: "response.reasoning_text.delta", ...inThought, delta: "m" },
      { type: "response.reasoning_text.done", ...inThought, text: "hm" },
      { type: "response.content_part.done", ...inThought, part: { type: "reasoning_text", text: "hm" } },
      { type: done, output_index: 0, item: output[0] },
      { type: added, output_index: 1, item: said("in_progress", []) },
      { type: "response.content_part.added", ...inText, part: output_text("") },
      { type: "response.output_text.delta", ...inText, delta: "a", logprobs: [] },
      { type: "response.output_text.delta", ...inText, delta: "b", logprobs: [] },
      { type: "response.output_text.done", ...inText, text: "ab", logprobs: [] },
      { type: "response.content_part.done", ...inText, part: output_text("ab") },
      { type: done, output_index: 1, item: output[1] },
      { type: added, output_index: 2, item: looked("in_progress", "") },
      { type: `${written}.delta`, ...inLook, delta: "{}" },
      { type: added, output_index: 3, item: spoken("in_progress", "") },
      { type: "response.custom_tool_call_input.delta", ...inSay, delta: "x" },
      { type: added, output_index: 4, item: heard("in_progress", "") },
      { type: `${written}.delta`, ...inHear, delta: "{" },
      { type: "response.custom_tool_call_input.delta", ...inSay, delta: "y" },
      { type: `${written}.delta`, ...inHear, delta: "}" },
      { type: `${written}.done`, ...inLook, name: "look", arguments: "{}" },
      { type: done, output_index: 2, item: output[2] },
      { type: "response.custom_tool_call_input.done", ...inSay, input: "xy" },
      { type: done, output_index: 3, item: output[3] },
      { type: `${written}.done`, ...inHear, name: "hear", arguments: "{}" },
      { type: done, output_index: 4, item: output[4] },
      { type: "response.completed", head: { id: "resp_1", status: "completed", output, usage } },
    ];
    expect(events.map(withoutHead)).toEqual(
      expected.map((event, sequence_number) => ({ ...event, sequence_number })),
    );
  });

  it.each([
    ["length", { reason: "max_output_tokens" }],
    ["content_filter", { reason: "content_filter" }],
  ])("end incomplete after %s, with the item that was cut off", async (finish_reason, incomplete_details) => {
    const text = await streamed(chunk({ reasoning_content: "hm" }), chunk({ content: "a" }, finish_reason));
    const events = eventsOf(text);
    expect(events.at(-1)).toMatchObject({
      type: "response.incomplete",
      response: {
        status: "incomplete",
        incomplete_details,
        completed_at: null,
        output: [
          { type: "reasoning", status: "completed" },
          { type: "message", status: "incomplete", content: [{ text: "a" }] },
        ],
        usage: null,
      },
    });
    expect(events.at(-2)).toMatchObject({
      type: "response.output_item.done",
      item: { status: "incomplete" },
    });
  });

  it("give a custom tool all that a machine has written, if it kept to no schema", async () => {
    const begun = call(0, { id: "call_a", function: { name: "say", arguments: "l" } });
    const events = eventsOf(await streamed(begun, call(0, { function: { arguments: "s" } })));
    expect(events.slice(3, 6)).toMatchObject([
      { type: "response.custom_tool_call_input.delta", output_index: 0, delta: "ls" },
      { type: "response.custom_tool_call_input.done", input: "ls" },
      { type: "response.output_item.done", item: { input: "ls" } },
    ]);
  });

  it("have a thought that came to its end, if what follows it is cut off in an answer that comes whole", () => {
    const message = { reasoning_content: "hm", content: "a" };
    const response = translatorTo({}).whole({ choices: [{ message, finish_reason: "length" }] });
    expect(response).toMatchObject({
      status: "incomplete",
      output: [{ status: "completed" }, { status: "incomplete" }],
    });
  });

  it("fail with what was whole by then, and say why twice", async () => {
    const error = { message: "broke", type: "server_error", code: "provider_error", param: "p" };
    const events = eventsOf(
      await streamed(chunk({ reasoning_content: "hm" }), chunk({ content: "a" }), { error }),
    );
    const { code, message, param } = error;
    expect(events.slice(-2)).toMatchObject([
      {
        type: "response.failed",
        response: {
          status: "failed",
          error: { code, message },
          incomplete_details: null,
          output: [{ type: "reasoning" }],
        },
      },
      { type: "error", code, message, param, error },
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual([...events.keys()]);
  });

  it("are whole for a machine that has nothing to say", async () => {
    const text = await streamed(chunk({}, "stop"));
    expect(typesOf(text)).toEqual(["response.created", "response.in_progress", "response.completed"]);
    expect(typesOf(await streamed())).toEqual(typesOf(text));
    expect(typesOf(await streamed({ error: { message: "broke" } }))).toEqual([
      "response.created",
      "response.in_progress",
      "response.failed",
      "error",
    ]);
  });
});
