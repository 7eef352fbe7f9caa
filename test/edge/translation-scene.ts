import type { ChatChunk } from "../../worker/openai/chat-answer.ts";
import { ResponsesTranslator } from "../../worker/openai/responses-translator.ts";
import { translateAnswer, type Translator } from "../../worker/openai/translate-answer.ts";
import type { FakeProvider } from "./fake-provider.ts";
import { fetchEdge, type Scene } from "./scene.ts";

/** Chats that become the answers of other APIs, and how to read what came of them. */

export const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
export const CALL = { index: 0, id: "call_1", function: { name: "look", arguments: "" } };
export const CHUNKS: ChatChunk[] = [
  { choices: [{ delta: { reasoning_content: "hm" }, finish_reason: null }] },
  { choices: [{ delta: { content: "é😀" }, finish_reason: null }] },
  { choices: [{ delta: { tool_calls: [CALL] }, finish_reason: null }] },
  {
    choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: "{}" } }] }, finish_reason: null }],
  },
  { choices: [{ delta: {}, finish_reason: "tool_calls" }] },
  { choices: [], usage: USAGE },
];
export const CHAT = `: keep-alive\n\n${CHUNKS.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")}data: [DONE]\n\n`;

/** The events of a response. @param broken what the pool's stream ends with, if not cleanly. */
export function translated(pieces: readonly Uint8Array[], broken?: Error): Promise<string> {
  return translatedBy(new ResponsesTranslator("1", { model: "m", input: "hi" }, () => 0), pieces, broken);
}

export async function translatedBy(
  translator: Translator,
  pieces: readonly Uint8Array[],
  broken?: Error,
): Promise<string> {
  const rest = [...pieces];
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = rest.shift();
      if (piece !== undefined) controller.enqueue(piece);
      else if (broken === undefined) controller.close();
      else controller.error(broken);
    },
  });
  const chat = new Response(body, { headers: { "content-type": "text/event-stream" } });
  return (await translateAnswer(chat, translator)).text();
}

export function sse(...chunks: unknown[]): Uint8Array {
  const events = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
  return new TextEncoder().encode(`${events.join("")}data: [DONE]\n\n`);
}

export function eventsOf(text: string): Record<string, unknown>[] {
  return [...text.matchAll(/^data: (.*)$/gm)].map(
    ([, json = ""]) => JSON.parse(json) as Record<string, unknown>,
  );
}

export function typesOf(text: string): string[] {
  return [...text.matchAll(/^event: (.*)$/gm)].map(([, type = ""]) => type);
}

export function post(at: Scene, fields: object, path = "/v1/responses"): Promise<Response> {
  return fetchEdge(path, {
    method: "POST",
    headers: { authorization: `Bearer ${at.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ model: at.model, ...fields }),
  });
}

/** A stream of which a machine has written the beginning, and goes on running. */
export async function begun(
  at: Scene,
  machine: FakeProvider,
  question: object = { input: "hi" },
  path = "/v1/responses",
) {
  const pending = post(at, { ...question, stream: true }, path);
  const request = await machine.next("inference_request");
  machine.accept(request);
  machine.bytes(request, `data: ${JSON.stringify(CHUNKS[1])}\n\n`);
  return { request, response: await pending };
}
