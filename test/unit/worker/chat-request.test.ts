import fc from "fast-check";
import { expect, it } from "vitest";

import { CACHE_KEY_CHARS_MAX } from "../../../core/limits.ts";
import { chatRequestSchema, isPlainChatRequest, MAX_TOOLS } from "../../../worker/openai/chat-request.ts";

const messages = [
  { role: "system", content: "You are brief." },
  { role: "user", content: "Hello", name: "ann" },
];

it("what nearly all clients send is plain", () => {
  expect(isPlainChatRequest({ model: "m", messages })).toBe(true);
  const options = { stream: true, max_tokens: 1, max_completion_tokens: 9, temperature: 0, top_p: 1 };
  expect(
    isPlainChatRequest({ model: "m", messages, ...options, seed: 7, user: "ann", prompt_cache_key: "c-1" }),
  ).toBe(true);
});

it("what agents send is plain as well", () => {
  const call = { id: "call-1", type: "function", function: { name: "look", arguments: "{}" } };
  const turns = [
    { role: "user", content: [{ type: "text", text: "Look" }] },
    { role: "assistant", content: null, tool_calls: [call] },
    { role: "assistant", tool_calls: [call] },
    { role: "tool", tool_call_id: "call-1", content: "nothing" },
  ];
  const tools = [{ type: "function", function: { name: "look", parameters: {} } }, { type: "custom" }];
  const options = { stream: true, stream_options: { include_usage: true }, stop: ["a", "b"], n: 1 };
  const body = { model: "m", messages: turns, tools, tool_choice: "auto", parallel_tool_calls: false };
  expect(isPlainChatRequest({ ...body, ...options })).toBe(true);
  const unchecked = { metadata: { trace: "t-1" }, reasoning_effort: "low", temperature: undefined };
  expect(isPlainChatRequest({ ...body, ...options, ...unchecked })).toBe(true);
});

it.each([null, "text", [], {}, { model: "m" }, { messages }, { model: "m", messages, n: 2 }])(
  "%j is left to the schema",
  (json) => {
    expect(isPlainChatRequest(json)).toBe(false);
  },
);

const tool = fc.record(
  {
    type: fc.constantFrom<unknown>("function", "", 7, null),
    function: fc.constantFrom<unknown>(null, [], {}, ...["look", "a b", "", 7].map((name) => ({ name }))),
  },
  { requiredKeys: [] },
);

it("a request that passes the quick check for plain ones also passes the schema, whatever a field holds", () => {
  const fields = [
    ...Object.keys(chatRequestSchema.shape),
    "user",
    "parallel_tool_calls",
    "surprise",
    "constructor",
    "__proto__",
  ];
  const odd = fc.oneof(
    fc.constantFrom(undefined, null, true, "", "x", -1, 0, 0.5, 1, 2, 3, 2 ** 60, NaN, Infinity),
    fc.constantFrom({}, [], messages, [{ role: "user" }], [{ role: "bard", content: "x" }]),
    fc.constantFrom([{ role: "user", content: null }], [{ role: "user", content: [{ type: "text" }] }], [7]),
    fc.constantFrom([{ role: "tool" }], [{ role: "user", content: [{}] }], [{ role: "user", content: [7] }]),
    fc.constantFrom({ include_usage: null }, { include_usage: true }, { include_usage: 1 }, ["a"], ["a", 1]),
    fc.array(fc.constantFrom("a", "b"), { maxLength: 6 }),
    fc.constantFrom(CACHE_KEY_CHARS_MAX, CACHE_KEY_CHARS_MAX + 1).map((length) => "k".repeat(length)),
    fc.constantFrom("auto", "required", "any", { type: "function" }, { type: "function", function: {} }),
    fc.array(tool, { maxLength: 3 }),
    fc.constantFrom(MAX_TOOLS, MAX_TOOLS + 1).map((length) => Array.from({ length }, () => ({ type: "x" }))),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(fc.constantFrom(...fields), odd, (field, value) => {
      const json: unknown = Object.defineProperty({ model: "m", messages }, field, {
        value,
        enumerable: true,
      });
      const { data } = chatRequestSchema.safeParse(json);
      expect(isPlainChatRequest(json) ? json : data).toEqual(data);
    }),
    { numRuns: 2000 },
  );
});
