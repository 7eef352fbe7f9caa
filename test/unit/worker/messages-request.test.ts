import { describe, expect, it } from "vitest";

import { IMAGE_LEFT_OUT } from "../../../worker/openai/chat-messages.ts";
import { assistant, called, chatOf, text, toolResult, toolUse, user } from "../../support/messages.ts";

describe("a request of POST /v1/messages becomes a chat", () => {
  it("with the instructions first, results right behind their calls, and no thoughts", () => {
    const { messages } = chatOf({
      system: [text("be brief"), text("be kind")],
      messages: [
        user(text("look"), text("now")),
        assistant(
          { type: "thinking", thinking: "hm", signature: "s" },
          { type: "redacted_thinking", data: "x" },
          { type: "fallback", from: { model: "m" }, to: { model: "n" } },
          text("I look"),
          toolUse("toolu_a", "look", { at: 1 }),
          toolUse("toolu_b", "hear"),
        ),
        user(
          text("and?"),
          toolResult("toolu_b", { content: [text("wind"), text("rain")] }),
          toolResult("toolu_a", { content: "no eyes", is_error: true }),
        ),
        { role: "system", content: "hurry" },
        assistant(toolUse("toolu_c", "look")),
        user(toolResult("toolu_c")),
      ],
    });
    expect(messages).toEqual([
      { role: "system", content: "be brief\nbe kind" },
      { role: "user", content: "look\nnow" },
      {
        role: "assistant",
        content: "I look",
        tool_calls: [called("toolu_a", "look", '{"at":1}'), called("toolu_b", "hear")],
      },
      { role: "tool", tool_call_id: "toolu_b", content: "wind\nrain" },
      { role: "tool", tool_call_id: "toolu_a", content: "Error: no eyes" },
      { role: "user", content: "and?" },
      { role: "system", content: "hurry" },
      { role: "assistant", content: null, tool_calls: [called("toolu_c", "look")] },
      { role: "tool", tool_call_id: "toolu_c", content: "" },
    ]);
  });

  it("with messages of one role that stand together as one, so that all results are behind their calls", () => {
    const { messages } = chatOf({
      messages: [
        { role: "user", content: "look" },
        user(text("now")),
        assistant(toolUse("toolu_a", "look")),
        assistant(text("and"), toolUse("toolu_b", "hear")),
        user(toolResult("toolu_b", { content: "wind" }), text("well?")),
        user(toolResult("toolu_a", { content: "a tree" })),
      ],
    });
    expect(messages).toEqual([
      { role: "user", content: "look\nnow" },
      {
        role: "assistant",
        content: "and",
        tool_calls: [called("toolu_a", "look"), called("toolu_b", "hear")],
      },
      { role: "tool", tool_call_id: "toolu_b", content: "wind" },
      { role: "tool", tool_call_id: "toolu_a", content: "a tree" },
      { role: "user", content: "well?" },
    ]);
  });

  it("with words for an image that a tool has read, or no later request of the conversation would be taken", () => {
    const image = {
      type: "image",
      source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" },
    };
    const result = toolResult("toolu_a", { content: [text("a.png"), image, image] });
    const messages = [assistant(toolUse("toolu_a", "read")), user(result, text("what is it?"))];
    expect(chatOf({ messages })["messages"]).toEqual([
      { role: "assistant", content: null, tool_calls: [called("toolu_a", "read")] },
      {
        role: "tool",
        tool_call_id: "toolu_a",
        content: `a.png\n${IMAGE_LEFT_OUT}\n${IMAGE_LEFT_OUT}`,
      },
      { role: "user", content: "what is it?" },
    ]);
  });

  it("with its limits and its sampling, and without what is only of Anthropic's servers", () => {
    expect(
      chatOf({
        max_tokens: 5,
        stop_sequences: ["END"],
        temperature: 0.5,
        top_p: 0.9,
        top_k: 3,
        seed: 7,
        stream: true,
        metadata: { user_id: "u" },
        service_tier: "auto",
        context_management: { edits: [] },
        cache_control: { type: "ephemeral" },
        thinking: { type: "enabled", budget_tokens: 1024 },
      }),
    ).toEqual({
      model: "m",
      messages: [{ role: "user", content: "hi" }],
      max_completion_tokens: 5,
      stop: ["END"],
      temperature: 0.5,
      top_p: 0.9,
      top_k: 3,
      seed: 7,
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  it("with no more for a null than for nothing", () => {
    const nulls = [
      "system",
      "tools",
      "tool_choice",
      "stream",
      "temperature",
      "top_p",
      "top_k",
      "stop_sequences",
    ];
    const others = [
      "thinking",
      "output_config",
      "output_format",
      "mcp_servers",
      "container",
      "thread",
      "fallbacks",
    ];
    const plain = chatOf({});
    expect(plain).toEqual({
      model: "m",
      messages: [{ role: "user", content: "hi" }],
      max_completion_tokens: 9,
      stream: false,
    });
    expect(chatOf(Object.fromEntries([...nulls, ...others].map((name) => [name, null])))).toEqual(plain);
    expect(chatOf({ output_config: { effort: null, format: null }, mcp_servers: [] })).toEqual(plain);
  });

  it.each([
    [{ output_config: { effort: "low" } }, "low"],
    [{ output_config: { effort: "max" } }, "high"],
    [{ output_config: { effort: "xhigh" } }, "high"],
    [{ thinking: { type: "disabled" }, output_config: { effort: "high" } }, "none"],
    [{ thinking: { type: "adaptive" } }, undefined],
  ])("with as much effort as chats know: %j", (fields, effort) => {
    expect(chatOf(fields)["reasoning_effort"]).toBe(effort);
  });

  it.each(["output_config", "output_format"])("with a format in %s", (field) => {
    const format = { type: "json_schema", schema: { type: "object" } };
    expect(chatOf({ [field]: field === "output_config" ? { format } : format })).toMatchObject({
      response_format: {
        type: "json_schema",
        json_schema: { name: "answer", schema: format.schema, strict: true },
      },
    });
  });

  it("with its tools as functions, hosted ones left out", () => {
    const schema = { type: "object", properties: { at: { type: "integer" } } };
    const tools = [
      { type: "web_search_20250305", name: "web_search", max_uses: 5 },
      { name: "look", description: "Looks.", input_schema: schema, cache_control: { type: "ephemeral" } },
      { type: "custom", name: "hear", input_schema: schema, strict: true },
    ];
    expect(
      chatOf({ tools, tool_choice: { type: "tool", name: "hear", disable_parallel_tool_use: true } }),
    ).toMatchObject({
      tools: [
        { type: "function", function: { name: "look", description: "Looks.", parameters: schema } },
        { type: "function", function: { name: "hear", parameters: schema, strict: true } },
      ],
      tool_choice: { type: "function", function: { name: "hear" } },
      parallel_tool_calls: false,
    });
  });

  it("without what a tool or a choice does not say", () => {
    const nothing = { type: null, description: null, input_schema: null, strict: null, defer_loading: null };
    const chat = chatOf({ tools: [{ name: "look", ...nothing }], tool_choice: { type: "any" } });
    expect(chat["tools"]).toEqual([{ type: "function", function: { name: "look" } }]);
    expect(chat).not.toHaveProperty("parallel_tool_calls");
  });

  it.each([
    ["auto", "auto"],
    ["any", "required"],
    ["none", "none"],
  ])("with the choice %s as %s", (type, choice) => {
    const tools = [{ name: "look", input_schema: {} }];
    expect(chatOf({ tools, tool_choice: { type } })["tool_choice"]).toBe(choice);
  });

  it.each(["auto", "none"])("without the choice %s if there are no tools", (type) => {
    expect(chatOf({ tool_choice: { type } })).not.toHaveProperty("tool_choice");
  });

  it("with a deferred tool once a search has found it", () => {
    const tools = [
      { name: "find", input_schema: {} },
      { name: "look", input_schema: {}, defer_loading: true },
      { name: "hear", input_schema: {}, defer_loading: true },
    ];
    const namesIn = (chat: Record<string, unknown>): string[] =>
      (chat["tools"] as { function: { name: string } }[]).map(({ function: { name } }) => name);
    expect(namesIn(chatOf({ tools }))).toEqual(["find"]);
    const references = ["hear", "smell"].map((tool_name) => ({ type: "tool_reference", tool_name }));
    const messages = [assistant(toolUse("a", "find")), user(toolResult("a", { content: references }))];
    const found = chatOf({ tools, messages });
    expect(namesIn(found)).toEqual(["find", "hear"]);
    expect(found["messages"]).toMatchObject([{}, { role: "tool", content: "hear\nsmell" }]);
    // Nobody here searches for the client.
    const hosted = { type: "tool_search_tool_regex_20251119", name: "tool_search_tool_regex" };
    expect(namesIn(chatOf({ tools: [hosted, ...tools] }))).toEqual(["find", "look", "hear"]);
  });

  it("with as many tools as chats take, however many more are deferred", () => {
    const named = (count: number, fields: object = {}) =>
      Array.from({ length: count }, (_, index) => ({
        name: `t${Object.keys(fields).length}_${index}`,
        ...fields,
      }));
    const deferred = named(500, { defer_loading: true });
    expect(chatOf({ tools: [...named(128), ...deferred] })).toHaveProperty("tools.length", 128);
    expect(() => chatOf({ tools: [...named(129), ...deferred] })).toThrow("tools: at most 128");
  });

  it("without the line for Anthropic's accounts, which is another one each time", () => {
    const line = "x-anthropic-billing-header: cc_version=2.1; cch=1f2e3;";
    const instructions = [
      { role: "system", content: "be brief" },
      { role: "user", content: "hi" },
    ];
    expect(chatOf({ system: [text(line), text("be brief")] })["messages"]).toEqual(instructions);
    expect(chatOf({ system: `${line}\nbe brief` })["messages"]).toEqual(instructions);
    expect(chatOf({ system: line })["messages"]).toEqual([{ role: "user", content: "hi" }]);
    expect(chatOf({ system: "x-anthropic-billing-header:\nbe brief" })["messages"]).toEqual(instructions);
    const quoted = `be brief\n${line}`;
    expect(chatOf({ system: quoted })["messages"]).toMatchObject([{ content: quoted }, {}]);
  });
});
