import { describe, expect, it } from "vitest";

import { type AnswerForm, parseAnswerForm } from "../../provider/src/chat/answer-form.ts";
import { parseMessages } from "../../provider/src/chat/messages.ts";
import { EngineError } from "../../provider/src/engine.ts";
import { toHistory } from "../../provider/src/engines/llama-history.ts";
import { tool } from "./engine-questions.ts";

const TEXT: AnswerForm = { type: "text" };
const historyOf = (messages: unknown) => toHistory(parseMessages(messages), TEXT);
const asked = (id: string, name: string, args: string) => ({
  id,
  type: "function",
  function: { name, arguments: args },
});

describe("the history of a conversation", () => {
  it("keeps every turn in its place and ends with the answer to be written", () => {
    expect(
      historyOf([
        { role: "system", content: "Be brief." },
        { role: "user", content: "Hello", name: "ann" },
        { role: "assistant", content: "Hi." },
        { role: "developer", content: "Rhyme." },
        { role: "user", content: "More" },
      ]),
    ).toStrictEqual([
      { type: "system", text: "Be brief." },
      { type: "user", text: "Hello" },
      { type: "model", response: ["Hi."] },
      { type: "system", text: "Rhyme." },
      { type: "user", text: "More" },
      { type: "model", response: [] },
    ]);
  });

  it("joins the parts of a content, and reads a refusal as text", () => {
    const parts = [
      { type: "text", text: "one " },
      { type: "text", text: "two" },
    ];
    expect(
      historyOf([
        { role: "user", content: parts },
        { role: "assistant", content: [{ type: "refusal", refusal: "No." }] },
        { role: "user", content: "Why?" },
      ]).slice(0, 2),
    ).toStrictEqual([
      { type: "user", text: "one two" },
      { type: "model", response: ["No."] },
    ]);
  });

  it("takes a part that names a field it does not have, as clients of OpenAI's give answers back", () => {
    expect(
      historyOf([
        { role: "user", content: "Hello" },
        { role: "assistant", content: [{ type: "text", text: "Hi.", refusal: null }] },
        { role: "user", content: "Go" },
        { role: "assistant", content: [{ type: "refusal", refusal: "No.", text: null }] },
        { role: "user", content: "Why?" },
      ]),
    ).toMatchObject([{}, { response: ["Hi."] }, {}, { response: ["No."] }, {}, {}]);
  });

  it("pairs calls with their results, in the order of the calls, and lets the same turn go on", () => {
    expect(
      historyOf([
        { role: "user", content: "Weather?" },
        {
          role: "assistant",
          content: "Let me see.",
          tool_calls: [asked("a", "get", '{"in":"Rome"}'), asked("b", "now", "")],
        },
        { role: "tool", tool_call_id: "b", content: "noon" },
        { role: "tool", tool_call_id: "a", content: '{"sun":true}' },
      ]),
    ).toStrictEqual([
      { type: "user", text: "Weather?" },
      {
        type: "model",
        response: [
          "Let me see.",
          {
            type: "functionCall",
            name: "get",
            params: { in: "Rome" },
            result: { sun: true },
            startsNewChunk: true,
          },
          { type: "functionCall", name: "now", params: {}, result: "noon", startsNewChunk: false },
        ],
      },
    ]);
  });

  it("puts what follows a result into the same turn", () => {
    const history = historyOf([
      { role: "user", content: "Weather?" },
      { role: "assistant", tool_calls: [asked("a", "get", "{}")] },
      { role: "tool", tool_call_id: "a", content: "sun" },
      { role: "assistant", content: "It is sunny." },
      { role: "user", content: "Thanks" },
    ]);
    expect(history.map(({ type }) => type)).toStrictEqual(["user", "model", "user", "model"]);
    expect(history[1]).toMatchObject({ response: [{ type: "functionCall" }, "It is sunny."] });
  });

  it("pairs calls of the same id in their order, and skips nothing behind them if one has no result", () => {
    const twice = [
      { role: "assistant", tool_calls: [asked("a", "get", "{}"), asked("a", "now", "{}")] },
      { role: "tool", tool_call_id: "a", content: "sun" },
    ];
    expect(
      historyOf([
        ...twice,
        { role: "tool", tool_call_id: "a", content: "noon" },
        { role: "user", content: "So?" },
      ]),
    ).toMatchObject([{ response: [{ result: "sun" }, { result: "noon" }] }, { text: "So?" }, {}]);
    expect(() => historyOf([...twice, { role: "user", content: "So?" }])).toThrow(/messages\[0\]/);
  });

  it("takes arguments that are no JSON as text, as they come back after a call that was cut off", () => {
    const history = historyOf([
      { role: "user", content: "Weather?" },
      { role: "assistant", tool_calls: [asked("a", "get", '{"city":"Ro')] },
      { role: "tool", tool_call_id: "a", content: "what?" },
    ]);
    expect(history[1]).toMatchObject({ response: [{ params: '{"city":"Ro' }] });
  });

  it.each([{ tool_choice: "required" }, { response_format: { type: "json_object" } }])(
    "tells the model about the tools where a grammar holds its answer: %o",
    (fields) => {
      const form = parseAnswerForm({
        tools: [tool("get_weather", { type: "object", properties: { city: { type: "string" } } })],
        ...fields,
      });
      const [first] = toHistory(parseMessages([{ role: "user", content: "Weather?" }]), form);
      expect(first?.type).toBe("system");
      expect(JSON.stringify(first)).toContain("get_weather");
      expect(JSON.stringify(first)).toContain("city");
    },
  );

  it.each<[string, unknown[]]>([
    ["a call that nothing answers", [{ role: "assistant", tool_calls: [asked("a", "get", "{}")] }]],
    [
      "a call that something else answers",
      [
        { role: "assistant", tool_calls: [asked("a", "get", "{}")] },
        { role: "tool", tool_call_id: "b", content: "x" },
      ],
    ],
    [
      "a result that comes too late",
      [
        { role: "assistant", tool_calls: [asked("a", "get", "{}")] },
        { role: "user", content: "well?" },
        { role: "tool", tool_call_id: "a", content: "x" },
      ],
    ],
    ["a result without a call", [{ role: "tool", tool_call_id: "a", content: "x" }]],
    ["content of a wrong type", [{ role: "user", content: 7 }]],
  ])("refuses %s, and names the message", (_, messages) => {
    const parse = (): unknown => parseMessages([{ role: "user", content: "Hi" }, ...messages]);
    expect(parse).toThrow(EngineError);
    expect(parse).toThrow(/messages\[[123]\]/);
  });
});
