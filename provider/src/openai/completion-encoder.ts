import type { AnswerEncoder } from "../agent/ports.ts";
import { type AnswerHead, encodeUsage } from "./usage.ts";

interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; arguments: string };
}

/** An answer that is sent whole: collects the events and writes one `chat.completion`. */
export function createCompletionEncoder(head: AnswerHead): AnswerEncoder {
  let content = "";
  let reasoning = "";
  const calls: ToolCall[] = [];
  return {
    encode(event) {
      switch (event.type) {
        case "content":
          content += event.text;
          break;
        case "reasoning":
          reasoning += event.text;
          break;
        case "tool_call":
          calls.push({ id: event.id, type: "function", function: { name: event.name, arguments: "" } });
          break;
        case "tool_arguments": {
          const call = calls[event.index];
          if (call !== undefined) call.function.arguments += event.text;
          break;
        }
        case "embedding":
          throw new Error("a chat has no vectors");
      }
      return null;
    },
    finish({ finishReason, usage, stopText }) {
      const message = {
        role: "assistant",
        // With calls and no text OpenAI says null; an answer that is simply empty is "".
        content: content === "" && calls.length > 0 ? null : content,
        refusal: null,
        ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
        ...(calls.length === 0 ? {} : { tool_calls: calls }),
      };
      const completion = {
        id: head.id,
        object: "chat.completion",
        created: head.created,
        model: head.model,
        choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason, stop_reason: stopText }],
        usage: encodeUsage(usage),
      };
      return new TextEncoder().encode(JSON.stringify(completion));
    },
  };
}
