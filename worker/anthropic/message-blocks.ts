import type { ItemStart } from "../openai/answer-reader.ts";
import type { ChatUsage } from "../openai/chat-answer.ts";

/** The content blocks of a message, and what it has used, as the Messages API writes them. */

/** A block that grows. Its text is what was said, what was thought, or a call's input as JSON. */
export interface Block {
  readonly kind: "text" | "thinking" | "tool_use";
  /** Of a call. */
  readonly id: string;
  /** Of the tool that is called, as its client knows it. */
  readonly name: string;
  text: string;
}

/**
 * @param names of the tools by those that machines know.
 * @param idOfCall for a call that has none.
 */
export function blockOf(start: ItemStart, names: ReadonlyMap<string, string>, idOfCall: string): Block {
  if (start.kind !== "call") {
    return { kind: start.kind === "message" ? "text" : "thinking", id: "", name: "", text: "" };
  }
  const { callId, name } = start;
  const id = callId === "" ? idOfCall : callId;
  return { kind: "tool_use", id, name: names.get(name) ?? name, text: "" };
}

/** How a block begins in a stream. */
export function encodeStart(block: Block): object {
  return encodeBlock({ ...block, text: "" });
}

/** @throws SyntaxError for a call whose input is no JSON */
export function encodeBlock({ kind, id, name, text }: Block): object {
  switch (kind) {
    case "text":
      return { type: "text", text, citations: null };
    case "thinking":
      // Signatures are neither made here nor checked when a block comes back.
      return { type: "thinking", thinking: text, signature: "" };
    case "tool_use":
      return { type: "tool_use", id, name, input: inputOf(text), caller: { type: "direct" } };
  }
}

/** What a block grows by in a stream. */
export function encodeDelta({ kind }: Block, text: string): object {
  switch (kind) {
    case "text":
      return { type: "text_delta", text };
    case "thinking":
      return { type: "thinking_delta", thinking: text };
    case "tool_use":
      return { type: "input_json_delta", partial_json: text };
  }
}

function inputOf(text: string): unknown {
  return text.trim() === "" ? {} : JSON.parse(text);
}

/** Whether what a call has been given so far is all of it. */
export function isWholeInput(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What was read from a cache does not count as input here. Nothing is known before the machine has said it. */
export function encodeUsage(usage: ChatUsage | null): object {
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  return {
    input_tokens: Math.max(0, (usage?.prompt_tokens ?? 0) - cached),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: usage?.completion_tokens ?? 0,
    output_tokens_details: { thinking_tokens: usage?.completion_tokens_details?.reasoning_tokens ?? 0 },
    server_tool_use: null,
    iterations: null,
    fallback_credit: null,
  };
}
