import { Stream } from "openai/core/streaming";
import type { ChatCompletion, ChatCompletionChunk } from "openai/resources/chat/completions";
import type { CreateEmbeddingResponse } from "openai/resources/embeddings";
import { describe, expect, it } from "vitest";

import { inferenceRequestSchema } from "../../protocol/downstream.ts";
import type { AnswerEvent, ChatEvent, RunResult } from "../../provider/src/engine.ts";
import { createAnswerEncoder } from "../../provider/src/openai/answer-encoder.ts";

const NOW = 1_760_000_000_999;

const result: RunResult = {
  finishReason: "stop",
  usage: { promptTokens: 11, completionTokens: 5, cachedTokens: 4, reasoningTokens: 2 },
  prefillMs: 1,
  decodeMs: 2,
};
const usage = {
  prompt_tokens: 11,
  completion_tokens: 5,
  total_tokens: 16,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 2 },
};
const call: ChatEvent[] = [
  { type: "tool_call", index: 0, id: "call_1", name: "get_weather" },
  { type: "tool_arguments", index: 0, text: '{"city":' },
  { type: "tool_arguments", index: 0, text: '"Zürich"}' },
  { type: "tool_call", index: 1, id: "call_2", name: "get_time" },
  { type: "tool_arguments", index: 1, text: "{}" },
];

function encoderFor(body: Record<string, unknown>, endpoint = "/v1/chat/completions") {
  const request = inferenceRequestSchema.parse({
    type: "inference_request",
    request_id: "req-1",
    stream: 3,
    endpoint,
    model_id: "gpt-oss-20b",
    body,
    deadline_ms: 1000,
    owner_bypass: false,
  });
  return createAnswerEncoder(request, NOW);
}

/** What the encoder writes, byte for byte as one text. */
function encodeAll(
  body: Record<string, unknown>,
  events: readonly AnswerEvent[],
  end: Partial<RunResult> = {},
  endpoint?: string,
): string {
  const encoder = encoderFor(body, endpoint);
  const utf8 = new TextDecoder();
  const pieces = events.map((event) => encoder.encode(event)).filter((bytes) => bytes !== null);
  return [...pieces, encoder.finish({ ...result, ...end })].map((bytes) => utf8.decode(bytes)).join("");
}

function chunksOf(text: string): ChatCompletionChunk[] {
  return text
    .split("\n\n")
    .filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice("data: ".length)) as ChatCompletionChunk);
}

describe("a streamed answer", () => {
  const streamed = { model: "my-alias", stream: true };
  const words: ChatEvent[] = [
    { type: "content", text: 'He said "no",\n' },
    { type: "content", text: "ünd \u2028 went. 🎭" },
  ];

  it("writes these bytes", () => {
    const head =
      '"id":"chatcmpl-req-1","object":"chat.completion.chunk","created":1760000000,"model":"my-alias"';
    const rest = '"logprobs":null,"finish_reason":null}]}';
    expect(encodeAll(streamed, [words[0] as ChatEvent, { type: "content", text: "x" }])).toBe(
      `data: {${head},"choices":[{"index":0,"delta":{"role":"assistant","content":"He said \\"no\\",\\n"},${rest}\n\n` +
        `data: {${head},"choices":[{"index":0,"delta":{"content":"x"},${rest}\n\n` +
        `data: {${head},"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n` +
        "data: [DONE]\n\n",
    );
  });

  it("writes nothing before the first piece, which carries the role", () => {
    const first = encoderFor(streamed).encode({ type: "content", text: "Hi" });
    expect(chunksOf(new TextDecoder().decode(first ?? new Uint8Array()))[0]?.choices[0]?.delta).toStrictEqual(
      {
        role: "assistant",
        content: "Hi",
      },
    );
  });

  it("says the same id, time and model in every chunk, and the role once", () => {
    const chunks = chunksOf(encodeAll(streamed, words));
    for (const chunk of chunks) {
      expect(chunk).toMatchObject({ id: "chatcmpl-req-1", created: 1_760_000_000, model: "my-alias" });
    }
    expect(chunks.filter((chunk) => chunk.choices[0]?.delta.role !== undefined)).toHaveLength(1);
  });

  it.each(["stop", "length", "tool_calls"] as const)(
    "says why it ended once, in its last chunk: %s",
    (finishReason) => {
      const chunks = chunksOf(encodeAll(streamed, words, { finishReason }));
      const reasons = chunks.map((chunk) => chunk.choices[0]?.finish_reason);
      expect(reasons).toStrictEqual([null, null, finishReason]);
    },
  );

  it("says which stop text has ended it, beside the reason, and nothing of it without one", () => {
    const ends = chunksOf(encodeAll(streamed, words, { stopText: 'so "on"' })).map(
      ({ choices }) => choices[0],
    );
    expect(ends.at(-1)).toMatchObject({ finish_reason: "stop", stop_reason: 'so "on"' });
    expect(encodeAll(streamed, words)).not.toContain("stop_reason");
  });

  it("has one chunk of usage after that, and null before, if it is asked for", () => {
    const chunks = chunksOf(encodeAll({ ...streamed, stream_options: { include_usage: true } }, words));
    expect(chunks.map((chunk) => chunk.usage)).toStrictEqual([null, null, null, usage]);
    expect(chunks.at(-1)?.choices).toStrictEqual([]);
  });

  it("does not mention usage if it is not asked for", () => {
    expect(encodeAll(streamed, words)).not.toContain("usage");
  });

  it("ends with [DONE]", () => {
    expect(encodeAll(streamed, words).endsWith("\n\ndata: [DONE]\n\n")).toBe(true);
  });

  it("says the role of an answer without any text", () => {
    const [first, last, ...more] = chunksOf(encodeAll(streamed, []));
    expect(first?.choices[0]?.delta).toStrictEqual({ role: "assistant", content: "" });
    expect(last?.choices[0]?.finish_reason).toBe("stop");
    expect(more).toHaveLength(0);
  });

  it("is put together again by the official client", async () => {
    const text = encodeAll(streamed, [{ type: "reasoning", text: "Let me see." }, ...words, ...call], {
      finishReason: "tool_calls",
    });
    const stream = Stream.fromSSEResponse<ChatCompletionChunk>(new Response(text), new AbortController());
    let content = "";
    let reasoning = "";
    const calls: { id?: string; name?: string; args: string }[] = [];
    for await (const chunk of stream) {
      const delta = chunk.choices[0]?.delta as ChatCompletionChunk.Choice.Delta & {
        reasoning_content?: string;
      };
      content += delta.content ?? "";
      reasoning += delta.reasoning_content ?? "";
      for (const piece of delta.tool_calls ?? []) {
        const entry = (calls[piece.index] ??= { args: "" });
        if (piece.id !== undefined) entry.id = piece.id;
        if (piece.function?.name !== undefined) entry.name = piece.function.name;
        entry.args += piece.function?.arguments ?? "";
      }
    }
    expect(content).toBe('He said "no",\nünd \u2028 went. 🎭');
    expect(reasoning).toBe("Let me see.");
    expect(calls).toStrictEqual([
      { id: "call_1", name: "get_weather", args: '{"city":"Zürich"}' },
      { id: "call_2", name: "get_time", args: "{}" },
    ]);
  });
});

describe("an answer in one body", () => {
  const completion = (events: readonly ChatEvent[], end: Partial<RunResult> = {}): ChatCompletion =>
    JSON.parse(encodeAll({ model: "my-alias", stream: false }, events, end)) as ChatCompletion;

  it("is a chat.completion with the whole text and its usage", () => {
    const words: ChatEvent[] = [
      { type: "content", text: "Good " },
      { type: "content", text: "morrow" },
    ];
    expect(completion(words)).toStrictEqual({
      id: "chatcmpl-req-1",
      object: "chat.completion",
      created: 1_760_000_000,
      model: "my-alias",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "Good morrow", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage,
    });
  });

  it("says which stop text has ended it", () => {
    expect(completion([], { stopText: "so" }).choices[0]).toMatchObject({ stop_reason: "so" });
    expect(completion([]).choices[0]).not.toHaveProperty("stop_reason");
  });

  it("writes nothing before its end", () => {
    expect(encoderFor({ model: "m" }).encode({ type: "content", text: "x" })).toBeNull();
  });

  it("has null for text beside tool calls, whose arguments are a string", () => {
    const message = completion(call, { finishReason: "tool_calls" }).choices[0]?.message;
    expect(message?.content).toBeNull();
    expect(message?.tool_calls).toStrictEqual([
      { id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city":"Zürich"}' } },
      { id: "call_2", type: "function", function: { name: "get_time", arguments: "{}" } },
    ]);
  });

  it("has an empty text for an answer that is empty", () => {
    expect(completion([]).choices[0]?.message.content).toBe("");
  });

  it("keeps thoughts apart from the text", () => {
    const message = completion([
      { type: "reasoning", text: "Hm." },
      { type: "content", text: "Yes." },
    ]).choices[0]?.message;
    expect(message).toMatchObject({ content: "Yes.", reasoning_content: "Hm." });
  });

  it("says 0 thoughts for an engine that cannot tell", () => {
    const { usage: counted } = completion([], {
      usage: { promptTokens: 1, completionTokens: 1, cachedTokens: 0 },
    });
    expect(counted?.completion_tokens_details?.reasoning_tokens).toBe(0);
  });
});

describe("the choice of encoder", () => {
  it("is not thrown off by fields of a wrong type", () => {
    const body = { model: 7, stream: "yes", stream_options: "all" };
    expect(JSON.parse(encodeAll(body, []))).toMatchObject({
      object: "chat.completion",
      model: "gpt-oss-20b",
    });
  });
});

describe("vectors", () => {
  const events: AnswerEvent[] = [
    { type: "embedding", index: 0, vector: Float32Array.of(0.6, -0.8, 1 / 3) },
    { type: "embedding", index: 1, vector: Float32Array.of(1, 0, 2 ** -23) },
  ];
  const encode = (body: Record<string, unknown>): CreateEmbeddingResponse =>
    JSON.parse(encodeAll(body, events, {}, "/v1/embeddings")) as CreateEmbeddingResponse;

  it("are one list under the name that was asked for, and cost what their texts did", () => {
    expect(encode({ model: "alias", input: ["a", "b"] })).toStrictEqual({
      object: "list",
      data: [
        { object: "embedding", index: 0, embedding: [0.600000024, -0.800000012, 0.333333343] },
        { object: "embedding", index: 1, embedding: [1, 0, 1.1920929e-7] },
      ],
      model: "alias",
      usage: { prompt_tokens: 11, total_tokens: 11 },
    });
    expect(encode({})).toMatchObject({ model: "gpt-oss-20b" });
  });

  it("are no other numbers in text than in base64, which is theirs with the low byte first", () => {
    const texts = encode({ encoding_format: "float" }).data.map(({ embedding }) =>
      Float32Array.from(embedding),
    );
    expect(texts).toStrictEqual(events.map((event) => event.type === "embedding" && event.vector));
    const [, second] = encode({ encoding_format: "base64" }).data.map(({ embedding }) => String(embedding));
    expect(second).toBe(Buffer.from([0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0x34]).toString("base64"));
  });

  it("go out one by one", () => {
    const encoder = encoderFor({}, "/v1/embeddings");
    const [one, two] = events.map((event) => new TextDecoder().decode(encoder.encode(event) ?? undefined));
    expect(one).toMatch(/^\{"object":"list","data":\[\{.*"index":0.*\}$/);
    expect(two).toMatch(/^,\{.*"index":1.*\}$/);
  });

  it("are no part of a chat, nor text of vectors", () => {
    const [vector] = events;
    if (vector === undefined) throw new Error("there is none");
    for (const stream of [true, false])
      expect(() => encoderFor({ stream }).encode(vector)).toThrow("vectors");
    const text: AnswerEvent = { type: "content", text: "x" };
    expect(() => encoderFor({}, "/v1/embeddings").encode(text)).toThrow("content");
  });
});
