import { describe, expect, it } from "vitest";

import { IMAGE_LEFT_OUT } from "../../../worker/openai/chat-messages.ts";
import { chatOf, refusalOf } from "../../support/responses.ts";

/** The chat that a request of the Responses API becomes, as a machine is sent it, and what is refused instead. */

const HI = [{ role: "user", content: "hi" }];

describe("the fields of a request", () => {
  it("become a chat's, and null says no more than nothing", () => {
    const empty = {
      instructions: null,
      stream: null,
      tools: null,
      tool_choice: null,
      text: null,
      max_output_tokens: null,
      temperature: null,
      top_p: null,
      parallel_tool_calls: null,
      metadata: null,
      reasoning: null,
      include: null,
      top_logprobs: 0,
      previous_response_id: null,
      conversation: null,
      prompt: null,
      background: false,
      generate: true,
      moderation: null,
      seed: null,
    };
    const plain = { model: "m", messages: HI, stream: false };
    expect(chatOf({})).toEqual(plain);
    expect(chatOf(empty)).toEqual(plain);
    expect(chatOf({ text: { format: null }, reasoning: { effort: null } })).toEqual(plain);
    const asked = {
      temperature: 0,
      top_p: 0.5,
      seed: 0,
      stop: ["a"],
      frequency_penalty: 1,
      presence_penalty: 2,
    };
    const ours = { top_k: 3, min_p: 0.1, repeat_penalty: 1.1, grammar: "root ::= " };
    expect(chatOf({ ...asked, ...ours, max_output_tokens: 9, reasoning: { effort: "low" } })).toEqual({
      ...plain,
      ...asked,
      ...ours,
      max_completion_tokens: 9,
      reasoning_effort: "low",
    });
    expect(chatOf({ stream: true })).toEqual({
      ...plain,
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  it.each([
    [{ type: "text" }, { type: "text" }],
    [{ type: "json_object" }, { type: "json_object" }],
    [
      { type: "json_schema", name: "n", schema: { type: "object" }, strict: true },
      { type: "json_schema", json_schema: { name: "n", schema: { type: "object" }, strict: true } },
    ],
  ])("such as the format %j become a chat's", (format, response_format) => {
    expect(chatOf({ text: { format } })).toHaveProperty("response_format", response_format);
  });

  it.each([
    [{ previous_response_id: "resp_1" }, "previous_response_id", "nothing is kept"],
    [{ conversation: "conv_1" }, "conversation", "nothing is kept"],
    [{ prompt: { id: "pmpt_1" } }, "prompt", "nothing is kept"],
    [{ generate: false }, "generate", "nothing to warm up"],
    [{ background: true }, "background", "not kept"],
    [{ moderation: { model: "m" } }, "moderation", "nothing is moderated"],
    [{ top_logprobs: 1 }, "top_logprobs", "no log probabilities"],
    [{ include: ["message.output_text.logprobs"] }, "include[0]", "no log probabilities"],
  ])("are refused where the answer would lack what they ask for: %j", (fields, param, why) => {
    expect(refusalOf(fields)).toEqual({
      code: "unsupported",
      param,
      message: expect.stringMatching(`^${param.replace(/[[\]]/g, "\\$&")}: .*${why}`) as string,
    });
  });

  it.each([
    [{ model: "" }, "model"],
    [{ input: [] }, "input"],
    [{ input: 7 }, "input"],
    [{ instructions: ["a"] }, "instructions"],
    [{ stream: "yes" }, "stream"],
    [{ max_output_tokens: 0 }, "max_output_tokens"],
    [{ temperature: 2.1 }, "temperature"],
    [{ temperature: -0.1 }, "temperature"],
    [{ top_p: 1.1 }, "top_p"],
    [{ top_p: -0.1 }, "top_p"],
    [{ frequency_penalty: 2.1 }, "frequency_penalty"],
    [{ frequency_penalty: -2.1 }, "frequency_penalty"],
    [{ presence_penalty: 2.1 }, "presence_penalty"],
    [{ presence_penalty: -2.1 }, "presence_penalty"],
    [{ max_tool_calls: 0 }, "max_tool_calls"],
    [{ metadata: { a: 1 } }, "metadata.a"],
    [{ reasoning: { effort: 3 } }, "reasoning.effort"],
    [{ text: { format: { type: "grammar" } } }, "text.format.type"],
    [{ include: "all" }, "include"],
    [{ input: [{ role: "tool", content: "a" }] }, "input[0].role"],
    [{ input: [{ role: "user", content: [{ text: "a" }] }] }, "input[0].content[0].type"],
    [{ tools: [{ name: "look" }] }, "tools[0].type"],
    [{ tool_choice: "always" }, "tool_choice"],
  ])("are refused where they are no such values: %j", (fields, param) => {
    expect(refusalOf(fields)).toMatchObject({ code: "invalid_request", param });
  });
});

describe("the input of a request", () => {
  const said = (role: string, content: string) => ({ role, content });
  const call = (id: string, name: string, args: string) => ({
    id,
    type: "function",
    function: { name, arguments: args },
  });

  it("becomes messages behind the instructions", () => {
    expect(chatOf({ instructions: "be brief" })).toMatchObject({
      messages: [said("system", "be brief"), ...HI],
    });
    const input = [
      { role: "developer", content: "be kind" },
      {
        type: "message",
        role: "user",
        content: [
          { type: "input_text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      { type: "reasoning", summary: [], content: "hm" },
      {
        type: "message",
        role: "assistant",
        content: [
          { type: "output_text", text: "c" },
          { type: "refusal", refusal: "no" },
        ],
      },
      { role: "system", content: "" },
      { role: "user", content: [] },
    ];
    expect(chatOf({ input })["messages"]).toEqual([
      said("developer", "be kind"),
      said("user", "ab"),
      said("assistant", "cno"),
      said("system", ""),
      said("user", ""),
    ]);
  });

  it("has calls with what is said between them, and what came of them behind", () => {
    const input = [
      { type: "function_call", call_id: "a" },
      { role: "assistant", content: "so" },
      { type: "custom_tool_call", call_id: "b", name: "say" },
      { type: "custom_tool_call", call_id: "c", name: "say", input: 'x"' },
      { type: "function_call", call_id: "d", namespace: "ns", name: "look", arguments: '{"at":1}' },
      { type: "function_call_output", call_id: "a", output: "1" },
      { type: "custom_tool_call_output", call_id: "b", output: [{ type: "input_text", text: "2" }] },
      {
        type: "function_call_output",
        call_id: "c",
        output: [
          { type: "input_image", image_url: "data:" },
          { type: "output_text", text: "!" },
        ],
      },
      { type: "function_call_output", call_id: "d", output: "" },
    ];
    const answered = (tool_call_id: string, content: string) => ({ role: "tool", tool_call_id, content });
    expect(chatOf({ input })["messages"]).toEqual([
      {
        role: "assistant",
        content: "so",
        tool_calls: [
          call("a", "", ""),
          call("b", "say", '{"input":""}'),
          call("c", "say", '{"input":"x\\""}'),
          call("d", "ns__look", '{"at":1}'),
        ],
      },
      answered("a", "1"),
      answered("b", "2"),
      answered("c", `${IMAGE_LEFT_OUT}!`),
      answered("d", ""),
    ]);
  });

  it("keeps what the user says apart from a call that has no output yet", () => {
    const input = [{ type: "function_call", call_id: "a", name: "look", arguments: "{}" }, ...HI];
    expect(chatOf({ input })["messages"]).toEqual([
      { role: "assistant", content: null, tool_calls: [call("a", "look", "{}")] },
      ...HI,
    ]);
  });

  const A_CALL = { type: "function_call", call_id: "a", name: "look", arguments: "{}" };
  const B_CALL = { ...A_CALL, call_id: "b" };
  const AN_OUTPUT = { type: "function_call_output", call_id: "a", output: "1" };
  const B_OUTPUT = { ...AN_OUTPUT, call_id: "b" };
  const ANSWERED_A = { role: "tool", tool_call_id: "a", content: "1" };
  const ANSWERED_B = { ...ANSWERED_A, tool_call_id: "b" };
  const called = (...ids: string[]) => ({
    role: "assistant",
    content: null,
    tool_calls: ids.map((id) => call(id, "look", "{}")),
  });

  it.each<[string, object[], object[]]>([
    ["before an output", [A_CALL, ...HI, AN_OUTPUT], [called("a"), ANSWERED_A, ...HI]],
    [
      "between two outputs",
      [A_CALL, B_CALL, B_OUTPUT, ...HI, said("assistant", "so"), AN_OUTPUT],
      [called("a", "b"), ANSWERED_B, ANSWERED_A, ...HI, said("assistant", "so")],
    ],
    [
      "before another call",
      [A_CALL, ...HI, B_CALL, AN_OUTPUT, B_OUTPUT],
      [called("a", "b"), ANSWERED_A, ANSWERED_B, ...HI],
    ],
  ])("has what is said %s behind all outputs, where chats want it", (_, input, messages) => {
    expect(chatOf({ input })["messages"]).toEqual(messages);
  });

  it("has a call that follows an output beside one that still waits, and later ones on their own", () => {
    const input = [A_CALL, B_CALL, AN_OUTPUT, { ...A_CALL, call_id: "c" }, B_OUTPUT];
    const ended = { ...AN_OUTPUT, call_id: "c" };
    expect(chatOf({ input: [...input, ended, A_CALL, AN_OUTPUT] })["messages"]).toEqual([
      called("a", "b", "c"),
      ANSWERED_A,
      ANSWERED_B,
      { ...ANSWERED_A, tool_call_id: "c" },
      called("a"),
      ANSWERED_A,
    ]);
  });

  it("has everything where it was said if a call has no output at all", () => {
    const input = [A_CALL, ...HI, B_CALL, B_OUTPUT, said("assistant", "so")];
    expect(chatOf({ input })["messages"]).toEqual([
      called("a"),
      ...HI,
      called("b"),
      ANSWERED_B,
      said("assistant", "so"),
    ]);
  });

  it("may have the same id twice, if it has as many outputs", () => {
    expect(chatOf({ input: [A_CALL, A_CALL, AN_OUTPUT, ...HI, AN_OUTPUT] })["messages"]).toEqual([
      called("a", "a"),
      ANSWERED_A,
      ANSWERED_A,
      ...HI,
    ]);
  });

  it.each<[object[], string, string, string]>([
    [[{ content: "a" }], "invalid_request", "role", "a message needs a role"],
    [[{ role: "user" }], "invalid_request", "content", "is missing"],
    [[{ role: "user", content: null }], "invalid_request", "content", "is missing"],
    [
      [{ role: "user", content: [{ type: "input_text" }] }],
      "unsupported",
      "content[0]",
      "parts of type input_text",
    ],
    [
      [{ role: "user", content: [{ type: "text", text: "a" }, { type: "input_image" }] }],
      "unsupported",
      "content[1]",
      "parts of type input_image are not supported, only text",
    ],
    [
      [{ role: "user", content: [{ type: "refusal", text: "a" }] }],
      "unsupported",
      "content[0]",
      "parts of type refusal",
    ],
    [[{ type: "function_call", name: "look" }], "invalid_request", "call_id", "a call needs its id"],
    [[{ type: "custom_tool_call", name: "say" }], "invalid_request", "call_id", "a call needs its id"],
    [
      [A_CALL, { type: "function_call_output", output: "" }],
      "invalid_request",
      "call_id",
      "an output needs its call's id",
    ],
    [
      [A_CALL, { type: "function_call_output", call_id: "b", output: "" }],
      "invalid_request",
      "call_id",
      "no call before it has this id",
    ],
    [[A_CALL, { type: "function_call_output", call_id: "a" }], "invalid_request", "output", "is missing"],
    [
      [A_CALL, { type: "function_call_output", call_id: "a", output: [{ type: "input_file" }] }],
      "unsupported",
      "output[0]",
      "parts of type input_file",
    ],
    [[{ type: "web_search_call" }], "unsupported", "type", "items of type web_search_call are not supported"],
  ])("is refused by the place of its last item: %j", (input, code, field, why) => {
    const param = `input[${input.length - 1}].${field}`;
    expect(refusalOf({ input })).toEqual({
      code,
      param,
      message: expect.stringContaining(`${param}: ${why}`) as string,
    });
  });
});
