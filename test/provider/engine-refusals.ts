import { hello, strictNumber, tool, type Body } from "./engine-questions.ts";

/** Requests that every engine refuses, with what its words must name. */

export const WRONG: readonly [field: string, body: Body][] = [
  ["messages", {}],
  ["messages", { messages: [] }],
  ["messages[0]", { messages: [{ role: "wizard", content: "x" }] }],
  [
    "messages[1]",
    {
      messages: [
        { role: "user", content: "x" },
        { role: "tool", tool_call_id: "c", content: "y" },
      ],
    },
  ],
  [
    "tool_calls",
    {
      messages: [
        { role: "user", content: "x" },
        { role: "assistant", tool_calls: [{ id: "c", function: { name: "look", arguments: "{}" } }] },
        { role: "user", content: "y" },
      ],
    },
  ],
  ["temperature", { ...hello(), temperature: 3 }],
  ["max_tokens", { ...hello(), max_tokens: 0 }],
  ["stop", { ...hello(), stop: ["a", "b", "c", "d", "e"] }],
  ["reasoning_effort", { ...hello(), reasoning_effort: "hihg" }],
  ["tool_choice", { ...hello(), tool_choice: "required" }],
  [
    "tool_choice",
    { ...hello(), tools: [tool("f", {})], tool_choice: { type: "function", function: { name: "g" } } },
  ],
  ["tools[0]", { ...hello(), tools: [tool("f", { type: "object", properties: { a: { type: "wat" } } })] }],
  ["response_format", { ...hello(), response_format: { type: "yaml" } }],
];

/** The same for texts that are to be made vectors. */
export const WRONG_INPUTS: readonly [field: string, body: Body][] = [
  ["input", {}],
  ["input", { input: "" }],
  ["input", { input: [] }],
  ["input[1]", { input: ["x", ""] }],
  ["input[0]", { input: [1, 2, 3] }],
  ["input[1]", { input: ["x", [1, 2, 3]] }],
  ["input", { input: Array.from({ length: 2049 }, () => "x") }],
  ["encoding_format", { input: "x", encoding_format: "int8" }],
  ["dimensions", { input: "x", dimensions: 0 }],
];

export const UNSUPPORTED: readonly [field: string, body: Body][] = [
  ["n", { ...hello(), n: 2 }],
  ["logprobs", { ...hello(), logprobs: true }],
  ["top_logprobs", { ...hello(), top_logprobs: 2 }],
  ["logit_bias", { ...hello(), logit_bias: { "5": 1 } }],
  ["modalities", { ...hello(), modalities: ["text", "audio"] }],
  ["functions", { ...hello(), functions: [{ name: "look" }] }],
  ["image_url", { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] }],
  ["minimum", strictNumber({ minimum: 0.5 })],
  ["pattern", strictNumber({ type: "string", pattern: "\\ba" })],
];
