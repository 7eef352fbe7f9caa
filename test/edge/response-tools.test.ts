import { describe, expect, it } from "vitest";

import { toChatName } from "../../worker/openai/chat-names.ts";
import { chatNameOf } from "../../worker/openai/response-tools.ts";
import { eventsOf } from "../support/translation.ts";
import { join } from "./fake-provider.ts";
import { answered, open, say } from "./responses-client.ts";
import { scene } from "./scene.ts";
import { post } from "./translation-scene.ts";

const LOOK = { type: "function", name: "look" };
/** As Codex sends tools of an MCP server. */
const TREES = {
  type: "namespace",
  name: "mcp__trees__",
  description: "Knows trees.",
  tools: [
    { type: "function", name: "look", description: "looks", parameters: { type: "object" }, strict: false },
    { type: "custom", name: "carve" },
  ],
};

describe("a namespace of tools", () => {
  it("is shown to the machine as functions with names of their own, and so is what was called before", async () => {
    const at = await scene();
    const machine = await join(at);
    const call = { type: "function_call", call_id: "call_a", name: "look", arguments: "{}" };
    const pending = post(at, {
      input: [
        { role: "user", content: "look" },
        call,
        { ...call, call_id: "call_b", namespace: "mcp__trees__" },
        { type: "custom_tool_call", call_id: "call_c", namespace: "mcp__trees__", name: "carve", input: "x" },
        ...["call_a", "call_b", "call_c"].map((id) => ({
          type: "function_call_output",
          call_id: id,
          output: "",
        })),
      ],
      tools: [LOOK, TREES],
      tool_choice: { type: "function", namespace: "mcp__trees__", name: "look" },
    });
    const request = await machine.next("inference_request");
    const { messages, tools, tool_choice } = request["body"] as Record<string, unknown>;
    expect(messages).toMatchObject([
      {},
      {
        tool_calls: [
          { id: "call_a", function: { name: "look" } },
          { id: "call_b", function: { name: "mcp__trees__look" } },
          { id: "call_c", function: { name: "mcp__trees__carve", arguments: '{"input":"x"}' } },
        ],
      },
      {},
      {},
      {},
    ]);
    expect(tools).toMatchObject([
      { type: "function", function: { name: "look" } },
      {
        type: "function",
        function: {
          name: "mcp__trees__look",
          description: "Knows trees.\n\nlooks",
          parameters: { type: "object" },
          strict: false,
        },
      },
      { type: "function", function: { name: "mcp__trees__carve", strict: true } },
    ]);
    expect(tool_choice).toEqual({ type: "function", function: { name: "mcp__trees__look" } });
    machine.answer(request, JSON.stringify({ choices: [] }));
    expect(await (await pending).json()).toMatchObject({ tools: [LOOK, TREES] });
  });

  it("is named beside the tool in each call, whole and streamed", async () => {
    const at = await scene();
    const machine = await join(at);
    const body = { input: "hi", tools: [LOOK, TREES] };
    const calls = ["look", "mcp__trees__look", "mcp__trees__carve"].map((name, index) => {
      const args = name.endsWith("carve") ? '{"input":"x"}' : "{}";
      return { index, id: `call_${index}`, type: "function", function: { name, arguments: args } };
    });
    const output = [
      { type: "function_call", call_id: "call_0", name: "look", arguments: "{}" },
      { type: "function_call", call_id: "call_1", namespace: "mcp__trees__", name: "look", arguments: "{}" },
      { type: "custom_tool_call", call_id: "call_2", namespace: "mcp__trees__", name: "carve", input: "x" },
    ];
    const whole = post(at, body);
    const message = { role: "assistant", content: null, tool_calls: calls };
    machine.answer(
      await machine.next("inference_request"),
      JSON.stringify({ choices: [{ message, finish_reason: "tool_calls" }] }),
    );
    const response: { output: object[] } = await (await whole).json();
    expect(response.output).toMatchObject(output);
    expect(response.output[0]).not.toHaveProperty("namespace");

    const streamed = post(at, { ...body, stream: true });
    say(machine, await machine.next("inference_request"), { tool_calls: calls });
    const events = eventsOf(await (await streamed).text());
    expect(events.at(-1)).toMatchObject({ type: "response.completed", response: { output } });
    const items = (type: string) => events.flatMap((event) => (event["type"] === type ? event["item"] : []));
    const names = output.map(({ name, namespace }) => ({ name, ...(namespace && { namespace }) }));
    expect(items("response.output_item.added")).toMatchObject(names);
    expect(items("response.output_item.done")).toMatchObject(output);
  });

  it("is remembered over a WebSocket", async () => {
    const at = await scene();
    const machine = await join(at);
    const client = await open(at);
    const request = { model: at.model, tools: [TREES] };
    const call = { index: 0, id: "call_a", function: { name: "mcp__trees__look", arguments: "{}" } };
    const first = await answered(client, machine, { ...request, input: "look" }, { tool_calls: [call] });
    const input = [{ type: "function_call_output", call_id: "call_a", output: "a tree" }];
    const second = await answered(client, machine, { ...request, input, previous_response_id: first.id });
    expect(second.request["body"]).toMatchObject({
      messages: [{}, { tool_calls: [{ function: { name: "mcp__trees__look" } }] }, {}],
    });
    client.close();
  });

  it("may be allowed as a whole or by tool", async () => {
    const at = await scene();
    const machine = await join(at);
    for (const [allowed, names] of [
      [{ type: "namespace", name: "mcp__trees__" }, ["mcp__trees__look", "mcp__trees__carve"]],
      [{ type: "custom", name: "carve" }, ["mcp__trees__carve"]],
      [{ type: "function", name: "look", namespace: "mcp__trees__" }, ["mcp__trees__look"]],
    ] as const) {
      const choice = { type: "allowed_tools", mode: "auto", tools: [allowed] };
      const pending = post(at, { input: "hi", tools: [LOOK, TREES], tool_choice: choice });
      const request = await machine.next("inference_request");
      expect(request["body"]).toMatchObject({ tools: names.map((name) => ({ function: { name } })) });
      machine.answer(request, JSON.stringify({ choices: [] }));
      await (await pending).text();
    }
  });

  it("makes names that a chat may have, and that differ", () => {
    expect(chatNameOf(null, "look")).toBe("look");
    expect(chatNameOf("trees", "look")).toBe("trees__look");
    const long = ["a", "b"].map((end) => chatNameOf("n".repeat(60), `look_${end}`));
    expect(long[0]).not.toBe(long[1]);
    expect(long[0]).toBe(chatNameOf("n".repeat(60), "look_a"));
    for (const name of long) expect(name).toMatch(/^[A-Za-z0-9_-]{64}$/);
    const longest = "n".repeat(64);
    expect(chatNameOf(null, longest)).toBe(longest);
    expect(chatNameOf("n".repeat(60), "at")).toBe(`${"n".repeat(60)}__at`);
  });

  it.each([
    ["", "4ed8b4c1"],
    ["101", "005fc6ce"],
  ])("makes the same name each time, also in another version: %j", (end, hash) => {
    // Another one would be another prompt, which no machine has read before.
    expect(toChatName(`${"n".repeat(65)}${end}`)).toBe(`${"n".repeat(55)}_${hash}`);
  });
});

describe("a hosted tool that coding agents offer everywhere", () => {
  it.each(["web_search", "web_search_preview", "image_generation"])("is left out: %s", async (type) => {
    const at = await scene();
    const machine = await join(at);
    const pending = post(at, { input: "hi", tools: [{ type }, LOOK], tool_choice: "auto" });
    const request = await machine.next("inference_request");
    expect(request["body"]).toMatchObject({ tools: [{ function: { name: "look" } }] });
    machine.answer(request, JSON.stringify({ choices: [] }));
    const response: { tools: object[] } = await (await pending).json();
    expect(response.tools).toMatchObject([LOOK]);
  });
});
