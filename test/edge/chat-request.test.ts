import fc from "fast-check";
import { expect, it } from "vitest";

import { chatRequestSchema, isPlainChatRequest } from "../../worker/openai/chat-request.ts";

const messages = [
  { role: "system", content: "You are brief." },
  { role: "user", content: "Hello", name: "ann" },
];

it("what nearly all clients send is plain", () => {
  expect(isPlainChatRequest({ model: "m", messages })).toBe(true);
  const options = { stream: true, max_tokens: 1, max_completion_tokens: 9, temperature: 0, top_p: 1 };
  expect(isPlainChatRequest({ model: "m", messages, ...options, seed: 7, user: "ann" })).toBe(true);
});

it.each([null, "text", [], {}, { model: "m" }, { messages }, { model: "m", messages, tools: [] }])(
  "%j is left to the schema",
  (json) => {
    expect(isPlainChatRequest(json)).toBe(false);
  },
);

it("a request that passes the quick check for plain ones also passes the schema, whatever a field holds", () => {
  const fields = [...Object.keys(chatRequestSchema.shape), "user", "surprise", "constructor", "__proto__"];
  const odd = fc.oneof(
    fc.constantFrom(undefined, null, true, "", "x", -1, 0, 0.5, 1, 2, 3, 2 ** 60, NaN, Infinity),
    fc.constantFrom({}, [], messages, [{ role: "user" }], [{ role: "bard", content: "x" }]),
    fc.constantFrom([{ role: "user", content: null }], [{ role: "user", content: [{ type: "text" }] }], [7]),
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
