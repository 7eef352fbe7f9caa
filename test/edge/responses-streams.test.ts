import { describe, expect, it } from "vitest";

import { SseReader } from "../../worker/openai/sse-reader.ts";
import { CALL, CHAT, CHUNKS, eventsOf, sse, typesOf } from "../support/translation.ts";
import { join } from "./fake-provider.ts";
import { errorOf, poolOf, readText, resetObject, scene } from "./scene.ts";
import { begun, post, translated } from "./translation-scene.ts";

/** Calls beside those before. */
const shifted = (calls: readonly { index: number }[], at: number): object[] =>
  calls.map((call) => ({ ...call, index: call.index + at * calls.length }));

describe("a stream of POST /v1/responses", () => {
  it("streams the official events in order, wherever the bytes are cut", async () => {
    const bytes = new TextEncoder().encode(CHAT);
    const whole = await translated([bytes]);
    expect(typesOf(whole)).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.reasoning_text.delta",
      "response.reasoning_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.output_item.added",
      "response.function_call_arguments.delta",
      "response.function_call_arguments.done",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(whole.startsWith(": keep-alive\n\n")).toBe(true);
    expect(whole).not.toContain("[DONE]");
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      expect(await translated([bytes.subarray(0, cut), bytes.subarray(cut)])).toBe(whole);
    }
  });

  it("with the line ends of Windows gives the same events, wherever the bytes are cut", async () => {
    const utf8 = new TextEncoder();
    const windows = utf8.encode(CHAT.replaceAll("\n", "\r\n"));
    const whole = await translated([utf8.encode(CHAT)]);
    for (let cut = 0; cut <= windows.length; cut += 1) {
      expect(await translated([windows.subarray(0, cut), windows.subarray(cut)])).toBe(whole);
    }
  });

  it("an event of many pieces is read as the pieces come, and not from its beginning with each", () => {
    const reader = new SseReader();
    const piece = new TextEncoder().encode("x".repeat(100));
    expect(reader.feed(new TextEncoder().encode("data:"))).toEqual([]);
    let early = 0;
    for (let i = 0; i < 100_000; i++) early += reader.feed(piece).length;
    expect(early).toBe(0);
    const [item] = reader.feed(new TextEncoder().encode("\n\n"));
    expect(item?.text).toHaveLength(10_000_000);
  });

  it.each([
    ["in text", { content: "x".repeat(2 ** 20) }, 5],
    ["in what is no text", { content: ["x".repeat(2 ** 20)] }, 5],
    ["in calls", { tool_calls: Array.from({ length: 1100 }, (_, index) => ({ ...CALL, index, id: "" })) }, 4],
  ])("an answer without an end fails before it takes all memory, %s", async (_, delta, pieces) => {
    const calls = (at: number): object =>
      "tool_calls" in delta ? { tool_calls: shifted(delta.tool_calls, at) } : delta;
    const chunks = Array.from({ length: pieces }, (__, at) => ({
      choices: [{ delta: calls(at), finish_reason: null }],
    }));
    const types = typesOf(await translated([sse(...chunks)]));
    expect(types.slice(-2)).toEqual(["response.failed", "error"]);
    expect(typesOf(await translated([sse(...chunks.slice(0, 3))])).at(-1)).toBe("response.completed");
  });

  it("a stream that is cut off fails, so that SDKs throw", async () => {
    const [cutOff = ""] = CHAT.split('data: {"choices":[{"delta":{},"finish_reason"');
    expect(cutOff.length).toBeLessThan(CHAT.length);
    const text = await translated([new TextEncoder().encode(cutOff)]);
    expect(typesOf(text).slice(-2)).toEqual(["response.failed", "error"]);
  });

  it("a machine that leaves [DONE] out has still answered, if it has said why it ended and nothing broke", async () => {
    const bytes = new TextEncoder().encode(CHAT.replace("data: [DONE]\n\n", ""));
    expect(await translated([bytes])).toBe(await translated([new TextEncoder().encode(CHAT)]));
    const broken = await translated([bytes], new Error("reset"));
    expect(typesOf(broken).slice(-2)).toEqual(["response.failed", "error"]);
  });

  it("events without a blank behind the colon, or with data of several lines, are read as such", async () => {
    const utf8 = new TextEncoder();
    const free = CHAT.replaceAll("data: ", "data:").replaceAll('"choices":', '"choices":\ndata:');
    expect(free).not.toBe(CHAT);
    expect(await translated([utf8.encode(free)])).toBe(await translated([utf8.encode(CHAT)]));
  });

  it("calls that are written at the same time are open at the same time", async () => {
    const call = (index: number, fields: object) => ({
      choices: [{ delta: { tool_calls: [{ index, ...fields }] }, finish_reason: null }],
    });
    const chunks = [
      { choices: [{ delta: { content: "so" }, finish_reason: null }] },
      call(0, { id: "call_a", function: { name: "look", arguments: "" } }),
      call(1, { id: "call_b", function: { name: "hear", arguments: '{"b"' } }),
      call(0, { function: { arguments: '{"a"' } }),
      call(1, { function: { arguments: ":1}" } }),
      call(0, { function: { arguments: ":0}" } }),
      { choices: [{ delta: {}, finish_reason: "tool_calls" }] },
    ];
    const events = eventsOf(await translated([sse(...chunks)]));
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual([...events.keys()]);
    const written = events.filter(({ type }) => type === "response.function_call_arguments.delta");
    expect(written.map(({ output_index, delta }) => [output_index, delta])).toEqual([
      [2, '{"b"'],
      [1, '{"a"'],
      [2, ":1}"],
      [1, ":0}"],
    ]);
    expect(events.at(-1)).toMatchObject({
      type: "response.completed",
      response: {
        output: [
          { type: "message", content: [{ text: "so" }] },
          { type: "function_call", call_id: "call_a", name: "look", arguments: '{"a":0}' },
          { type: "function_call", call_id: "call_b", name: "hear", arguments: '{"b":1}' },
        ],
      },
    });
  });

  it("a machine's error in the middle is a failed response, and nothing follows", async () => {
    const error = { message: "broke", type: "server_error", code: "provider_error", param: null };
    const events = eventsOf(await translated([sse(CHUNKS[1], { error }, CHUNKS[1])]));
    expect(events.slice(-2)).toMatchObject([
      { type: "response.failed", response: { status: "failed", error: { code: "provider_error" } } },
      { type: "error", code: "provider_error", message: "broke", error },
    ]);
  });

  it.each(["{no json", "7", '{"choices":7}', '{"choices":[{}]}'])(
    "a chunk that makes no sense fails the stream: %s",
    async (chunk) => {
      const bytes = new TextEncoder().encode(`data: ${chunk}\n\ndata: [DONE]\n\n`);
      expect(eventsOf(await translated([bytes])).slice(-2)).toMatchObject([
        { type: "response.failed" },
        { type: "error", code: "provider_error" },
      ]);
    },
  );

  it.each(["{no json", "7", '{"choices":7}', '{"choices":[{}]}', "{}"])(
    "a whole answer that makes no sense is 502: %s",
    async (body) => {
      const at = await scene();
      const machine = await join(at);
      for (const [path, fields] of [
        ["/v1/responses", { input: "hi" }],
        ["/v1/completions", { prompt: "hi" }],
      ] as const) {
        const pending = post(at, fields, path);
        machine.answer(await machine.next("inference_request"), body);
        expect(await errorOf(await pending)).toMatchObject({ status: 502, code: "provider_error" });
      }
    },
  );

  it("[H18] a pool that is reset in the middle fails the stream and never ends it cleanly", async () => {
    const at = await scene();
    const machine = await join(at);
    const { request, response } = await begun(at, machine);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "x-request-id": request["request_id"],
    });
    const reader = response.body?.getReader();
    const first = await readText(reader);
    await resetObject(poolOf(at));
    const events = eventsOf(first + (await readText(reader)));
    expect(events.at(-2)).toMatchObject({ type: "response.failed", response: { status: "failed" } });
    expect(await reader?.read()).toMatchObject({ done: true });
  });
});
