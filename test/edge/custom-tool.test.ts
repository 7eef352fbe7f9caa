import { describe, expect, it } from "vitest";

import { InputReader, inputToArguments } from "../../worker/openai/custom-tool.ts";
import { join } from "./fake-provider.ts";
import { answered, open, say } from "./responses-client.ts";
import { fetchEdge, scene, type Scene } from "./scene.ts";

const SHELL = { type: "custom", name: "shell", description: "runs a command" };
const LOOK = { type: "function", name: "look" };
const PARAMETERS = {
  type: "object",
  properties: { input: { type: "string" } },
  required: ["input"],
  additionalProperties: false,
};

describe("a custom tool of the Responses API", () => {
  it("is shown to the machine as a function with one parameter, and so are its earlier calls", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = post(at, {
      input: [
        { role: "user", content: "list" },
        { type: "custom_tool_call", call_id: "call_a", name: "shell", input: 'echo "é"' },
        { type: "custom_tool_call_output", call_id: "call_a", output: [{ type: "input_text", text: "é" }] },
      ],
      tools: [{ ...SHELL, format: { type: "text" } }],
      tool_choice: { type: "custom", name: "shell" },
    });
    const request = await machine.next("inference_request");
    const called = { name: "shell", arguments: '{"input":"echo \\"é\\""}' };
    expect(request["body"]).toMatchObject({
      messages: [
        { role: "user", content: "list" },
        { role: "assistant", tool_calls: [{ id: "call_a", type: "function", function: called }] },
        { role: "tool", tool_call_id: "call_a", content: "é" },
      ],
      tools: [
        {
          type: "function",
          function: { name: "shell", description: "runs a command", parameters: PARAMETERS, strict: true },
        },
      ],
      tool_choice: { type: "function", function: { name: "shell" } },
    });
    const call = { id: "call_b", type: "function", function: { ...called, arguments: '{"input": "ls\\n"}' } };
    const message = { role: "assistant", content: null, tool_calls: [call] };
    machine.answer(request, JSON.stringify({ choices: [{ message, finish_reason: "tool_calls" }] }));
    const response: { output: object[]; tools: object[] } = await (await pending).json();
    expect(response.output).toEqual([
      {
        id: expect.stringMatching(/^ctc_/),
        type: "custom_tool_call",
        status: "completed",
        call_id: "call_b",
        name: "shell",
        input: "ls\n",
      },
    ]);
    expect(response.tools).toEqual([{ ...SHELL, format: { type: "text" } }]);
  });

  it("is streamed as text while a function beside it stays JSON", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = post(at, { input: "hi", tools: [SHELL, LOOK], stream: true });
    const pieces = [
      { index: 0, id: "call_a", function: { name: "shell", arguments: '{"input' } },
      { index: 0, function: { arguments: '": "l' } },
      { index: 0, function: { arguments: 's"}' } },
      { index: 1, id: "call_b", function: { name: "look", arguments: "{}" } },
    ];
    say(machine, await machine.next("inference_request"), ...pieces.map((call) => ({ tool_calls: [call] })));
    const events = eventsOf(await (await pending).text());
    const of = (index: number) =>
      events.flatMap(({ type, delta, input, output_index, content_index }) =>
        output_index === index ? [{ type, text: delta ?? input, content_index }] : [],
      );
    expect(of(0)).toEqual([
      { type: "response.output_item.added" },
      { type: "response.custom_tool_call_input.delta", text: "l" },
      { type: "response.custom_tool_call_input.delta", text: "s" },
      { type: "response.custom_tool_call_input.done", text: "ls" },
      { type: "response.output_item.done" },
    ]);
    expect(events.at(-1)).toMatchObject({
      type: "response.completed",
      response: {
        output: [
          { type: "custom_tool_call", call_id: "call_a", name: "shell", input: "ls" },
          { type: "function_call", call_id: "call_b", name: "look", arguments: "{}" },
        ],
      },
    });
  });

  it("is remembered over a WebSocket", async () => {
    const at = await scene();
    const machine = await join(at);
    const client = await open(at);
    const request = { model: at.model, tools: [SHELL] };
    const call = { index: 0, id: "call_a", function: { name: "shell", arguments: '{"input":"ls"}' } };
    const first = await answered(client, machine, { ...request, input: "list" }, { tool_calls: [call] });
    const output = { type: "custom_tool_call_output", call_id: "call_a", output: "a b" };
    const next = { ...request, input: [output], previous_response_id: first.id };
    const second = await answered(client, machine, next);
    expect(second.request["body"]).toMatchObject({
      messages: [
        { role: "user", content: "list" },
        { role: "assistant", tool_calls: [{ id: "call_a", function: { arguments: '{"input":"ls"}' } }] },
        { role: "tool", tool_call_id: "call_a", content: "a b" },
      ],
    });
    client.close();
  });
});

describe("the text in a call's arguments", () => {
  it.each(["", "plain", 'a "b" \\ / \b\f\n\r\t \u0001 é 😀', "{", '{"input":"x"}', "\ud83d"])(
    "is the same wherever the pieces are cut: %j",
    (input) => {
      for (const args of [inputToArguments(input), ` { "input" : ${escaped(input)} } `]) {
        for (let cut = 0; cut <= args.length; cut += 1) {
          const reader = new InputReader();
          const pieces = [reader.feed(args.slice(0, cut)), reader.feed(args.slice(cut)), reader.end()];
          expect(pieces.join("")).toBe(input);
        }
      }
    },
  );

  it("never ends in half a character", () => {
    const reader = new InputReader();
    const pieces = ['{"input":"a\\ud83', "d", '\\ude00b"}'].map((piece) => reader.feed(piece));
    expect(pieces).toEqual(["a", "", "😀b"]);
  });

  it("is as long as it came if the machine was cut off", () => {
    const reader = new InputReader();
    expect([reader.feed('{"input": "abc\\u00'), reader.end()]).toEqual(["abc", ""]);
  });

  it.each(['{"command":"ls"}', "ls", "{}"])("of another shape is given as it is: %s", (args) => {
    const reader = new InputReader();
    expect([reader.feed(args), reader.end()]).toEqual(["", args]);
  });

  it("of another shape is given as it is written, once it is long enough to tell", () => {
    const reader = new InputReader();
    const long = `{"command":"${"x".repeat(60)}`;
    expect([reader.feed(long), reader.feed('"'), reader.feed("}"), reader.end()]).toEqual([
      long,
      '"',
      "}",
      "",
    ]);
  });
});

/** With every character as an escape. */
function escaped(text: string): string {
  const units = Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
  return `"${units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("")}"`;
}

function eventsOf(text: string): Record<string, unknown>[] {
  return [...text.matchAll(/^data: (.*)$/gm)].map(
    ([, json = ""]) => JSON.parse(json) as Record<string, unknown>,
  );
}

function post(at: Scene, fields: object): Promise<Response> {
  return fetchEdge("/v1/responses", {
    method: "POST",
    headers: { authorization: `Bearer ${at.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: at.model, ...fields }),
  });
}
