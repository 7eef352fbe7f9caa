import { describe, expect, it } from "vitest";

import { assistant, refusalOf, text, toolResult, toolUse, user } from "../../support/messages.ts";

/** What a request of the Messages API is refused for, by the place and in the words that its client is told. */

const TOOL = { name: "a", input_schema: {} };
const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "" } };
const named = (count: number, fields: object = {}): object[] =>
  Array.from({ length: count }, (_, index) => ({ name: `t${index}`, ...fields }));
const NO_CALL = "no call right before it has this id and waits for a result";

function expectRefusal(fields: object, code: string, param: string, why: string): void {
  const message = expect.stringContaining(`${param}: ${why}`) as string;
  expect(refusalOf(fields)).toMatchObject({ code, param, message });
}

describe("a request", () => {
  it.each<[object, string, string]>([
    [{ model: "" }, "model", "must not be empty"],
    [{ max_tokens: undefined }, "max_tokens", "is required"],
    [{ max_tokens: 0 }, "max_tokens", "must be at least 1"],
    [{ max_tokens: 1.5 }, "max_tokens", "must be a whole number"],
    [{ stream: "yes" }, "stream", "must be true or false"],
    [{ temperature: -0.1 }, "temperature", "must be at least 0"],
    [{ temperature: 2.1 }, "temperature", "must be at most 2"],
    [{ top_p: -0.1 }, "top_p", "must be at least 0"],
    [{ top_p: 1.1 }, "top_p", "must be at most 1"],
    [{ top_k: -1 }, "top_k", "must be at least 0"],
    [{ stop_sequences: ["a", "b", "c", "d", "e"] }, "stop_sequences", "must have at most 4 entries"],
    [{ stop_sequences: ["a", ""] }, "stop_sequences[1]", "must not be empty"],
    [{ thinking: { display: "omitted" } }, "thinking.type", "is required"],
    [{ output_config: { effort: 3 } }, "output_config.effort", "must be text"],
    [{ output_config: { format: { type: "json_schema" } } }, "output_config.format.schema", "is required"],
    [{ output_config: { format: { type: "json", schema: {} } } }, "output_config.format.type", "must be"],
    [{ output_format: { type: "json_schema", schema: "x" } }, "output_format.schema", "must be an object"],
    [{ mcp_servers: {} }, "mcp_servers", "must be a list"],
    [
      { fallbacks: ["a", "b", "c", "d"].map((model) => ({ model })) },
      "fallbacks",
      "must have at most 3 entries",
    ],
    [{ fallbacks: "auto" }, "fallbacks", 'must be "default" or a list'],
    [{ system: 7 }, "system", "must be text or a list"],
    [{ system: [text("a"), { type: "text" }] }, "system[1].text", "is missing"],
  ])("has fields that are no such values: %j", (fields, param, why) => {
    expectRefusal(fields, "invalid_request", param, why);
  });

  it.each<[object, string, string]>([
    [{ mcp_servers: [{ type: "url" }] }, "mcp_servers", "they are not called from here"],
    [{ container: "c" }, "container", "there are no containers here"],
    [{ thread: { type: "create" } }, "thread", "nothing is kept between requests; send it all"],
    [{ compaction: { type: "summarize" } }, "compaction", "conversations are not summarized here"],
    [{ system: [image] }, "system[0].type", "image is not supported, only text"],
    [
      { messages: [user(text("hi")), assistant(text("I am"))] },
      "messages",
      "an answer cannot be continued; the last message must be the user's",
    ],
    [
      { tools: [{ type: "web_search_20250305", name: "s" }] },
      "tools[0].type",
      "web_search_20250305 is not supported",
    ],
    [
      { tools: [TOOL, { type: "bash_20250124", name: "b" }] },
      "tools[1].type",
      "bash_20250124 is not supported",
    ],
    [{ tools: [TOOL, { type: "my_web_search" }] }, "tools[1].type", "my_web_search is not supported"],
  ])("wants what is not done here: %j", (fields, param, why) => {
    expectRefusal(fields, "unsupported", param, why);
  });

  it.each<[object, string, string]>([
    [{ tools: [{ name: "a b" }] }, "tools[0].name", "must have letters, digits, _ and - only"],
    [{ tools: [TOOL, { input_schema: {} }] }, "tools[1].name", "a tool needs a name"],
    [{ tools: [{ name: "a", input_schema: "x" }] }, "tools[0].input_schema", "must be an object"],
    [{ tools: named(129) }, "tools", "at most 128 can be shown to the model"],
    [{ tool_choice: { type: "any" } }, "tool_choice", "there are no tools"],
    [{ tool_choice: { type: "tool", name: "a" }, tools: [] }, "tool_choice", "there are no tools"],
    [
      { tools: [TOOL], tool_choice: { type: "tool" } },
      "tool_choice.name",
      "must be the name of one of the tools",
    ],
    [
      { tools: [TOOL], tool_choice: { type: "tool", name: "b" } },
      "tool_choice.name",
      "must be the name of one of the tools",
    ],
    [{ tools: [TOOL], tool_choice: { type: "must" } }, "tool_choice.type", "must be"],
  ])("has tools that cannot be called: %j", (fields, param, why) => {
    expectRefusal(fields, "invalid_request", param, why);
  });
});

describe("a conversation", () => {
  const A = assistant(toolUse("a", "b"));

  it.each<[object[], string, string]>([
    [[], "messages", "must not be empty"],
    [[{ role: "tool", content: "x" }], "messages[0].role", "must be"],
    [[{ role: "user" }], "messages[0].content", "is required"],
    [[user({ type: "text" })], "messages[0].content[0].text", "is missing"],
    [[user(toolResult("a"))], "messages[0].content[0].tool_use_id", NO_CALL],
    [[A, user({ type: "tool_result" })], "messages[1].content[0].tool_use_id", "is missing"],
    [[assistant({ type: "tool_use", id: "a" })], "messages[0].content[0].name", "is missing"],
    [[assistant({ type: "tool_use", name: "a" })], "messages[0].content[0].id", "is missing"],
    [[A, user(text("c"))], "messages[0].content[0].id", "the next message has no result for it"],
    [
      [A, { role: "system", content: "c" }],
      "messages[0].content[0].id",
      "the next message has no result for it",
    ],
    [
      [assistant(text("a"), toolUse("a", "b"), toolUse("a", "b")), user(toolResult("a"))],
      "messages[0].content[2].id",
      "another call has the same",
    ],
    [[A, user(toolResult("a"), toolResult("a"))], "messages[1].content[1].tool_use_id", NO_CALL],
    [[A, user(toolResult("a")), user(toolResult("a"))], "messages[2].content[0].tool_use_id", NO_CALL],
    [
      [A, user(toolResult("a")), assistant(text("b")), user(toolResult("a"))],
      "messages[3].content[0].tool_use_id",
      NO_CALL,
    ],
    [[user(toolUse("a", "b"))], "messages[0].content[0].type", "only the assistant has a tool_use"],
    [
      [A, assistant(toolResult("a")), user(text("c"))],
      "messages[1].content[0].type",
      "only the user has a tool_result",
    ],
    [[user({ type: "thinking" })], "messages[0].content[0].type", "only the assistant has a thinking"],
    [
      [user({ type: "redacted_thinking" })],
      "messages[0].content[0].type",
      "only the assistant has a redacted_thinking",
    ],
    [[user({ type: "fallback" })], "messages[0].content[0].type", "only the assistant has a fallback"],
    [
      [A, user(toolResult("a", { content: [{ type: "text" }] }))],
      "messages[1].content[0].content[0].text",
      "is missing",
    ],
  ])("makes no sense: %j", (messages, param, why) => {
    expectRefusal({ messages }, "invalid_request", param, why);
  });

  it.each<[object[], string, string]>([
    [[user(text("see"), image)], "messages[0].content[1].type", "image is not supported, only text"],
    [
      [user({ type: "document", source: {} })],
      "messages[0].content[0].type",
      "document is not supported, only text",
    ],
    [
      [A, user(toolResult("a", { content: [text("see"), { type: "document" }] }))],
      "messages[1].content[0].content[1].type",
      "document is not supported, only text",
    ],
    [
      [assistant({ type: "server_tool_use", id: "a", name: "b" })],
      "messages[0].content[0].type",
      "server_tool_use is not supported, only text",
    ],
  ])("has what cannot be read: %j", (messages, param, why) => {
    expect(refusalOf({ messages })).toMatchObject({
      code: "unsupported",
      param,
      message: `${param}: ${why}`,
    });
  });
});
