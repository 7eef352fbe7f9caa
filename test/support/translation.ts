import { HttpError } from "../../worker/http-error.ts";
import type { ChatChunk } from "../../worker/openai/chat-answer.ts";
import { ResponsesTranslator } from "../../worker/openai/responses-translator.ts";

/** Chats that become the answers of other APIs, and how to read what came of them. */

export const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
/** A piece of an answer as machines write it, and one that is of a call. */
export const chunk = (delta: object, finish_reason: string | null = null) => ({
  choices: [{ delta, finish_reason }],
});
export const call = (index: number, fields: object) => chunk({ tool_calls: [{ index, ...fields }] });

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
export const CHAT = `: keep-alive\n\n${CHUNKS.map((each) => `data: ${JSON.stringify(each)}\n\n`).join("")}data: [DONE]\n\n`;

export function translatorTo(fields: object): ResponsesTranslator {
  return new ResponsesTranslator("1", { model: "m", input: "hi", ...fields }, () => 0);
}

/** Thoughts, a text and three calls, of which two grow at the same time and one has no id. */
export const ANSWER = [
  chunk({ role: "assistant", reasoning_content: "h" }),
  chunk({ reasoning_content: "m", content: "" }),
  chunk({ content: "a" }),
  chunk({ content: "b", reasoning_content: "" }),
  call(0, { id: "call_a", function: { name: "look", arguments: "" } }),
  call(0, { function: { arguments: "{}" } }),
  call(1, { id: "call_b", function: { name: "say", arguments: '{"input":"x' } }),
  call(2, { function: { name: "ns__hear", arguments: "{" } }),
  call(1, { id: "call_b", function: { arguments: 'y"}' } }),
  call(2, { id: "", function: { arguments: "}" } }),
  chunk({}, "tool_calls"),
  { choices: [], usage: USAGE },
];

/** A response or a message is checked elsewhere; of it only what is told. */
export function withoutHead(event: Record<string, unknown>): object {
  const { response, message, ...rest } = event;
  const head = (response ?? message) as Record<string, unknown> | undefined;
  if (head === undefined) return rest;
  const { id, status, output, usage } = head;
  return { ...rest, head: { id, status, output, usage } };
}

export function sse(...chunks: unknown[]): Uint8Array {
  const events = chunks.map((each) => `data: ${JSON.stringify(each)}\n\n`);
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

/** What is thrown at a client, or what came of it instead. */
export function apiErrorOf(run: () => object): object {
  try {
    return run();
  } catch (error) {
    if (error instanceof HttpError) return error.apiError;
    throw error;
  }
}
