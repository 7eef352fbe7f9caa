import { describe, expect, it } from "vitest";

import { EngineError, type ChatEvent } from "../../provider/src/engine.ts";
import { ChatReader } from "../../provider/src/engines/server/chat-reader.ts";

/** Streams as servers write them, each in its own way. */

let now = 0;

/** A reader of an answer that begins at 1,000 ms to a prompt of 400 bytes. */
function reading(): {
  readonly reader: ChatReader;
  read(chunk: object, atMs?: number): readonly ChatEvent[];
} {
  now = 1000;
  const reader = new ChatReader(400, () => now);
  return {
    reader,
    read(chunk, atMs = now) {
      now = atMs;
      return reader.read(JSON.stringify(chunk));
    },
  };
}

const delta = (fields: object): object => ({ choices: [{ index: 0, delta: fields, finish_reason: null }] });
const end = (finish_reason: string, fields: object = {}): object => ({
  choices: [{ index: 0, delta: {}, finish_reason, ...fields }],
});
const call = (fields: object): object => delta({ tool_calls: [fields] });

function failureOf(act: () => unknown): EngineError {
  try {
    act();
  } catch (error) {
    if (error instanceof EngineError) return error;
    throw error;
  }
  throw new Error("it was read");
}

describe("text", () => {
  it("comes in the order in which it was written; empty pieces and chunks are nothing", () => {
    const { reader, read } = reading();
    expect(read(delta({ role: "assistant", content: null }))).toEqual([]);
    expect(read(delta({ role: "assistant", content: "" }))).toEqual([]);
    expect(read(delta({ content: "Hel" }))).toEqual([{ type: "content", text: "Hel" }]);
    expect(read({ choices: [] })).toEqual([]);
    expect(read({ object: "ping" })).toEqual([]);
    expect(read(delta({ content: "lo" }))).toEqual([{ type: "content", text: "lo" }]);
    read(end("stop"));
    expect(reader.result().finishReason).toBe("stop");
  });

  it.each(["reasoning_content", "reasoning"])("of thoughts is told apart under the name %s", (name) => {
    const { read } = reading();
    expect(read(delta({ [name]: "Hm.", content: "Yes." }))).toEqual([
      { type: "reasoning", text: "Hm." },
      { type: "content", text: "Yes." },
    ]);
  });
});

describe("calls", () => {
  it("come in pieces, with an index", () => {
    const { reader, read } = reading();
    expect(read(call({ index: 0, id: "a", function: { name: "look", arguments: "" } }))).toEqual([
      { type: "tool_call", index: 0, id: "a", name: "look" },
    ]);
    expect(read(call({ index: 0, function: { arguments: '{"x":' } }))).toEqual([
      { type: "tool_arguments", index: 0, text: '{"x":' },
    ]);
    expect(read(call({ index: 1, id: "b", function: { name: "go", arguments: "{}" } }))).toEqual([
      { type: "tool_call", index: 1, id: "b", name: "go" },
      { type: "tool_arguments", index: 1, text: "{}" },
    ]);
    read(end("tool_calls"));
    expect(reader.result().finishReason).toBe("tool_calls");
  });

  it("come whole, without index or id, with arguments that are no text, and end with stop", () => {
    const { reader, read } = reading();
    expect(read(call({ function: { name: "look", arguments: { x: 1 } } }))).toEqual([
      { type: "tool_call", index: 0, id: "call_1", name: "look" },
      { type: "tool_arguments", index: 0, text: '{"x":1}' },
    ]);
    read(end("stop"));
    expect(reader.result().finishReason).toBe("tool_calls");
  });

  it("are counted from 0, wherever the server begins", () => {
    const { read } = reading();
    const [first] = read(call({ index: 3, id: "a", function: { name: "look" } }));
    expect(first).toMatchObject({ index: 0 });
  });

  it.each([{ index: 0 }, {}])("that come whole, one after the other, all with %j, stay apart", (place) => {
    const { reader, read } = reading();
    const first = { ...place, id: "a", function: { name: "sum", arguments: '{"x":1}' } };
    const second = { ...place, id: "b", function: { name: "sum", arguments: '{"x":2}' } };
    expect([...read(call(first)), ...read(call(second))]).toEqual([
      { type: "tool_call", index: 0, id: "a", name: "sum" },
      { type: "tool_arguments", index: 0, text: '{"x":1}' },
      { type: "tool_call", index: 1, id: "b", name: "sum" },
      { type: "tool_arguments", index: 1, text: '{"x":2}' },
    ]);
    read(end("tool_calls"));
    expect(reader.result().finishReason).toBe("tool_calls");
  });

  it.each([
    { id: "a", function: { name: "sum", arguments: "}" } },
    { id: "made-up", function: { arguments: "}" } },
    { id: "", function: { name: "sum", arguments: "}" } },
  ])("go on with %j", (more) => {
    const { read } = reading();
    read(call({ index: 0, id: "a", function: { name: "sum", arguments: "{" } }));
    expect(read(call({ index: 0, ...more }))).toEqual([{ type: "tool_arguments", index: 0, text: "}" }]);
  });

  it("that were cut off by the limit say length", () => {
    const { reader, read } = reading();
    read(call({ index: 0, id: "a", function: { name: "look" } }));
    read(end("length"));
    expect(reader.result().finishReason).toBe("length");
  });

  it("without a name are a fault", () => {
    const { read } = reading();
    expect(failureOf(() => read(call({ index: 0, function: { arguments: "{}" } })))).toMatchObject({
      class: "fault",
      code: "server_failed",
    });
  });
});

describe("what was used", () => {
  it("is what the server says", () => {
    const { reader, read } = reading();
    read(delta({ content: "x" }));
    read(end("stop"));
    read({
      choices: [],
      usage: {
        prompt_tokens: 30,
        completion_tokens: 9,
        prompt_tokens_details: { cached_tokens: 20 },
        completion_tokens_details: { reasoning_tokens: 4 },
      },
    });
    expect(reader.result().usage).toEqual({
      promptTokens: 30,
      completionTokens: 9,
      cachedTokens: 20,
      reasoningTokens: 4,
    });
  });

  it("is estimated if the server says nothing", () => {
    const { reader, read } = reading();
    for (const content of ["one", "two", "three"]) read(delta({ content }));
    read(end("stop"));
    expect(reader.result().usage).toEqual({ promptTokens: 100, completionTokens: 3, cachedTokens: 0 });
  });

  it("is estimated if what the server says cannot be", () => {
    const { reader, read } = reading();
    read(delta({ content: "one" }));
    read({ ...end("stop"), usage: { prompt_tokens: 0xffff_ffff, completion_tokens: 1 } });
    expect(reader.result().usage).toEqual({ promptTokens: 100, completionTokens: 1, cachedTokens: 0 });
  });

  it("says how long the prompt and the answer took: by the server's clock, else by ours", () => {
    const { reader, read } = reading();
    read(delta({ role: "assistant", content: "" }), 1100);
    read(delta({ content: "a" }), 1300);
    read(delta({ content: "b" }), 1700);
    read(end("stop"), 1900);
    expect(reader.result()).toMatchObject({ prefillMs: 300, decodeMs: 400 });
    read({ choices: [], timings: { prompt_ms: 41.5, predicted_ms: 380, cache_n: 7 } });
    expect(reader.result()).toMatchObject({
      prefillMs: 41.5,
      decodeMs: 380,
      usage: { cachedTokens: 7 },
    });
  });

  it("of an answer that was given up is what has come", () => {
    const { reader, read } = reading();
    read(delta({ content: "a" }), 1300);
    read(delta({ content: "b" }), 1500);
    expect(reader.cancelled()).toMatchObject({
      finishReason: "cancelled",
      usage: { completionTokens: 2 },
      prefillMs: 300,
      decodeMs: 200,
    });
  });
});

it("tells which stop text has ended it, if that is a text", () => {
  const { reader, read } = reading();
  read(end("stop", { stop_reason: "###" }));
  expect(reader.result().stopText).toBe("###");
  const other = reading();
  other.read(end("stop", { stop_reason: 128_009 }));
  expect(other.reader.result().stopText).toBeUndefined();
});

describe("what goes wrong", () => {
  it("is an answer without an end", () => {
    const { reader, read } = reading();
    read(delta({ content: "x" }));
    expect(failureOf(() => reader.result())).toMatchObject({ class: "fault", code: "server_failed" });
    read(end(""));
    expect(failureOf(() => reader.result()).message).toContain("broke off");
  });

  it.each([
    [{ message: "out of memory at prompt: secret", code: 500 }, "fault", "server_failed"],
    [{ message: "secret", type: "server_error", code: null }, "fault", "server_failed"],
    ["secret", "fault", "server_failed"],
    [{ message: "loading", code: 503 }, "capacity", "no_free_slot"],
  ])("is an error in the stream: %j", (error, errorClass, code) => {
    const failure = failureOf(() => reading().read({ error }));
    expect(failure).toMatchObject({ class: errorClass, code });
    expect(failure.message).not.toContain("secret");
  });

  it("is an error about the request, which its client reads", () => {
    const error = {
      code: 400,
      type: "exceed_context_size_error",
      message: "request (3011 tokens) exceeds it",
    };
    expect(failureOf(() => reading().read({ error }))).toMatchObject({
      class: "client",
      code: "context_length_exceeded",
      message: "request (3011 tokens) exceeds it",
    });
  });

  it.each(["not json", "[]", '{"choices":[{"delta":{"content":7}}]}'])("is nonsense: %s", (data) => {
    const { reader } = reading();
    expect(failureOf(() => reader.read(data))).toMatchObject({ class: "fault", code: "server_failed" });
  });
});
