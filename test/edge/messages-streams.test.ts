import { describe, expect, it } from "vitest";

import { ASK } from "../support/messages.ts";
import { call, CALL, CHAT, chunk, CHUNKS, eventsOf, sse, typesOf, USAGE } from "../support/translation.ts";
import { join } from "./fake-provider.ts";
import { streamed } from "./messages-scene.ts";
import { poolOf, readText, resetObject, scene } from "./scene.ts";
import { begun, post } from "./translation-scene.ts";

const PATH = "/v1/messages";
const THINKING = { thinking: { type: "adaptive" } };

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const begin = (index: number, args = "") =>
  call(index, { id: `call_${index}`, function: { name: "look", arguments: args } });
const grow = (index: number, args: string) => call(index, { function: { arguments: args } });

/** Each block's events in short: its place, what it is or grows by, and its end. */
function blocksOf(text: string): string[] {
  return eventsOf(text).flatMap(({ type, index, content_block: block, delta }) => {
    const at = String(index);
    if (type === "content_block_start") return `${at} ${(block as { type: string }).type}`;
    if (type === "content_block_delta") return `${at} ${String(Object.values(delta as object)[1])}`;
    return type === "content_block_stop" ? `${at} end` : [];
  });
}

describe("a stream of POST /v1/messages", () => {
  it("has the official events in order, wherever the bytes are cut", async () => {
    const bytes = bytesOf(CHAT);
    const whole = await streamed([bytes], { fields: THINKING });
    expect(typesOf(whole)).toEqual([
      "message_start",
      "ping",
      "content_block_start",
      "content_block_delta",
      "content_block_delta",
      "content_block_stop",
      "content_block_start",
      "content_block_delta",
      "content_block_stop",
      "content_block_start",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    expect(typesOf(whole)).toEqual(eventsOf(whole).map(({ type }) => type));
    expect(whole).not.toContain("[DONE]");
    expect(whole).not.toContain(": keep-alive");
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      expect(await streamed([bytes.subarray(0, cut), bytes.subarray(cut)], { fields: THINKING })).toBe(whole);
    }
  });

  it("says in each event what the API says", async () => {
    const cached = { ...USAGE, prompt_tokens_details: { cached_tokens: 5 } };
    const text = await streamed([sse(...CHUNKS.slice(0, -1), { choices: [], usage: cached })], {
      fields: THINKING,
    });
    expect(eventsOf(text)).toMatchObject([
      {
        message: {
          id: "msg_1",
          type: "message",
          role: "assistant",
          model: "m",
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: { input_tokens: 4, output_tokens: 0 },
        },
      },
      { index: 0, content_block: { type: "thinking", thinking: "", signature: "" } },
      { index: 0, delta: { type: "thinking_delta", thinking: "hm" } },
      { index: 0, delta: { type: "signature_delta", signature: "" } },
      { index: 0 },
      { index: 1, content_block: { type: "text", text: "" } },
      { index: 1, delta: { type: "text_delta", text: "é😀" } },
      { index: 1 },
      { index: 2, content_block: { type: "tool_use", id: CALL.id, name: "look", input: {} } },
      { index: 2, delta: { type: "input_json_delta", partial_json: "{}" } },
      { index: 2 },
      {
        delta: { stop_reason: "tool_use", stop_sequence: null },
        usage: { input_tokens: 2, cache_read_input_tokens: 5, output_tokens: 3 },
      },
      { type: "message_stop" },
    ]);
  });

  it("is kept alive while the model thinks what nobody wants to see", async () => {
    const text = await streamed([sse(chunk({ reasoning_content: "a" }), ...CHUNKS)]);
    expect(typesOf(text).slice(0, 3)).toEqual(["message_start", "ping", "content_block_start"]);
    expect(blocksOf(text)).toEqual(["0 text", "0 é😀", "0 end", "1 tool_use", "1 {}", "1 end"]);
  });

  it("says at its end which stop sequence has ended it", async () => {
    const end = { choices: [{ delta: {}, finish_reason: "stop", stop_reason: "END" }] };
    const events = eventsOf(await streamed([sse(chunk({ content: "so" }), end)]));
    expect(events.at(-2)).toMatchObject({ delta: { stop_reason: "stop_sequence", stop_sequence: "END" } });
  });

  it("sends calls as they grow, one after the other", async () => {
    const text = await streamed([
      sse(begin(0), grow(0, '{"a"'), grow(0, ":1}"), begin(1, "{"), grow(1, "}"), chunk({ content: "so" })),
    ]);
    expect(blocksOf(text)).toEqual([
      "0 tool_use",
      '0 {"a"',
      "0 :1}",
      "0 end",
      "1 tool_use",
      "1 {",
      "1 }",
      "1 end",
      "2 text",
      "2 so",
      "2 end",
    ]);
  });

  it("lets calls that are written at the same time wait for each other, and no client for nothing", async () => {
    const text = await streamed([
      sse(begin(0, "{"), begin(1, "{"), grow(0, '"a":1'), grow(1, "}"), begin(2), grow(0, "}")),
    ]);
    expect(typesOf(text).filter((type) => type === "ping")).toHaveLength(3);
    expect(blocksOf(text)).toEqual([
      "0 tool_use",
      "0 {",
      '0 "a":1',
      "0 }",
      "0 end",
      "1 tool_use",
      "1 {}",
      "1 end",
      "2 tool_use",
      "2 end",
    ]);
  });

  it("fails if a call grows behind its end", async () => {
    const fine = await streamed([sse(begin(0, "{}"), begin(1, "{}"), grow(0, "\n"))]);
    expect(typesOf(fine).at(-1)).toBe("message_stop");
    const broken = await streamed([sse(begin(0, "{}"), begin(1, "{}"), grow(0, "{}"))]);
    expect(eventsOf(broken).at(-1)).toMatchObject({ type: "error", error: { type: "api_error" } });
  });

  it("ends with an error and nothing behind it if the machine fails, or what it says makes no sense", async () => {
    const error = { message: "broke", type: "server_error", code: "deadline_exceeded", param: null };
    const failed = await streamed([sse(CHUNKS[1], { error }, CHUNKS[1])]);
    expect(eventsOf(failed).at(-1)).toEqual({
      type: "error",
      error: {
        type: "timeout_error",
        message: "broke",
        details: { error_code: "deadline_exceeded", param: null },
      },
      request_id: "req_1",
    });
    for (const bytes of [bytesOf("data: {no json\n\n"), sse({ choices: 7 }), bytesOf(CHAT.slice(0, 120))]) {
      expect(eventsOf(await streamed([bytes])).at(-1)).toMatchObject({
        type: "error",
        error: { type: "api_error", details: { error_code: "provider_error" } },
      });
    }
  });

  it("fails before an answer without an end takes all memory", async () => {
    const long = chunk({ content: "x".repeat(2 ** 20) });
    expect(typesOf(await streamed([sse(long, long, long, long, long)])).at(-1)).toBe("error");
    expect(typesOf(await streamed([sse(long, long, long)])).at(-1)).toBe("message_stop");
  });

  it("[H18] and one whose pool is reset in the middle never ends cleanly", async () => {
    const at = await scene();
    const machine = await join(at);
    const { response } = await begun(at, machine, ASK, PATH);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = response.body?.getReader();
    const first = await readText(reader);
    expect(typesOf(first)).toEqual(["message_start", "content_block_start", "content_block_delta"]);
    await resetObject(poolOf(at));
    expect(typesOf(await readText(reader))).toEqual(["error"]);
    expect(await reader?.read()).toMatchObject({ done: true });
  });

  it("refuses with a status as long as nothing was sent", async () => {
    const at = await scene();
    const response = await post(at, { ...ASK, stream: true }, PATH);
    expect(response.status).toBe(503);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(10);
    expect(response.headers.get("x-should-retry")).toBeNull();
    expect(await response.json()).toMatchObject({ type: "error", error: { type: "api_error" } });
  });
});
