import { describe, expect, it } from "vitest";

import type { ChatChunk } from "../../worker/openai/chat-answer.ts";
import { ResponsesTranslator } from "../../worker/openai/responses-translator.ts";
import { translateAnswer } from "../../worker/openai/translate-answer.ts";
import { join } from "./fake-provider.ts";
import { fetchEdge, scene, type Scene } from "./scene.ts";

const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
const CALL = { index: 0, id: "call_1", function: { name: "look", arguments: "" } };
const CHUNKS: ChatChunk[] = [
  { choices: [{ delta: { reasoning_content: "hm" }, finish_reason: null }] },
  { choices: [{ delta: { content: "é😀" }, finish_reason: null }] },
  { choices: [{ delta: { tool_calls: [CALL] }, finish_reason: null }] },
  {
    choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: "{}" } }] }, finish_reason: null }],
  },
  { choices: [{ delta: {}, finish_reason: "tool_calls" }] },
  { choices: [], usage: USAGE },
];
const CHAT = `: keep-alive\n\n${CHUNKS.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")}data: [DONE]\n\n`;

describe("POST /v1/responses", () => {
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

  it("a stream that is cut off fails, so that SDKs throw", async () => {
    const text = await translated([new TextEncoder().encode(CHAT.replace("data: [DONE]\n\n", ""))]);
    expect(typesOf(text).slice(-2)).toEqual(["response.failed", "error"]);
  });

  it("asks a machine for a chat and answers with a response, headers kept", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = post(at, { input: "hi", instructions: "be brief" });
    const request = await machine.next("inference_request");
    expect(request).toMatchObject({
      body: {
        messages: [
          { role: "system", content: "be brief" },
          { role: "user", content: "hi" },
        ],
      },
    });
    const choices = [{ index: 0, message: { role: "assistant", content: "ho" }, finish_reason: "length" }];
    machine.answer(request, JSON.stringify({ choices, usage: USAGE }));
    const response = await pending;
    expect(response.headers.get("x-request-id")).toBeTruthy();
    expect(await response.json()).toMatchObject({
      object: "response",
      model: at.model,
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output: [{ type: "message", content: [{ type: "output_text", text: "ho" }] }],
      usage: { input_tokens: 7, output_tokens: 3, total_tokens: 10 },
    });
  });

  it("cancels the machine when the client leaves", async () => {
    const at = await scene();
    const machine = await join(at);
    const pending = post(at, { input: "hi", stream: true });
    const request = await machine.next("inference_request");
    machine.accept(request);
    machine.bytes(request, `data: ${JSON.stringify(CHUNKS[1])}\n\n`);
    await (await pending).body?.cancel();
    expect(await machine.next("cancel")).toMatchObject({ request_id: request["request_id"] });
  });

  it("refuses by name what would need kept state or tools of its own", async () => {
    const at = await scene();
    for (const [fields, param] of [
      [{ previous_response_id: "resp_1" }, "previous_response_id"],
      [{ background: true }, "background"],
      [{ tools: [{ type: "web_search" }] }, "tools[0].type"],
    ] as const) {
      const response = await post(at, { input: "hi", ...fields });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: "unsupported", param } });
    }
  });
});

async function translated(pieces: readonly Uint8Array[]): Promise<string> {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
  const chat = new Response(body, { headers: { "content-type": "text/event-stream" } });
  const translator = new ResponsesTranslator("1", 0, { model: "m", input: "hi" });
  return (await translateAnswer(chat, translator)).text();
}

function typesOf(text: string): string[] {
  return [...text.matchAll(/^event: (.*)$/gm)].map(([, type = ""]) => type);
}

function post(at: Scene, fields: object): Promise<Response> {
  return fetchEdge("/v1/responses", {
    method: "POST",
    headers: { authorization: `Bearer ${at.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: at.model, ...fields }),
  });
}
