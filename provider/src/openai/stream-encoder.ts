import type { AnswerEncoder } from "../agent/ports.ts";
import type { AnswerEvent } from "../engine.ts";
import { type AnswerHead, encodeUsage } from "./usage.ts";

/**
 * A streamed answer as server-sent events. The first chunk carries the role together with the first text: a chunk
 * with the role alone would be a first byte that says nothing, after which the request cannot be tried elsewhere any
 * more. One chunk has the finish reason; with `include_usage` one without choices follows it; `[DONE]` is last.
 *
 * All that is the same in every chunk is written once. Per token only its text is turned into JSON.
 */
export function createStreamEncoder(
  head: AnswerHead,
  options: { readonly includeUsage: boolean },
): AnswerEncoder {
  const { includeUsage } = options;
  const utf8 = new TextEncoder();
  const start = `data: ${JSON.stringify({ id: head.id, object: "chat.completion.chunk", created: head.created, model: head.model }).slice(0, -1)},"choices":[`;
  const deltaStart = `${start}{"index":0,"delta":{`;
  const deltaEnd = `},"logprobs":null,"finish_reason":null}]${includeUsage ? ',"usage":null' : ""}}\n\n`;
  let role = '"role":"assistant",';

  function chunk(delta: string): string {
    const text = deltaStart + role + delta + deltaEnd;
    role = "";
    return text;
  }

  return {
    encode: (event) => utf8.encode(chunk(encodeDelta(event))),
    finish({ finishReason, usage, stopText }) {
      let text = role === "" ? "" : chunk('"content":""');
      const usageNull = includeUsage ? ',"usage":null' : "";
      const stopReason = stopText === undefined ? "" : `,"stop_reason":${JSON.stringify(stopText)}`;
      text += `${deltaStart}},"logprobs":null,"finish_reason":"${finishReason}"${stopReason}}]${usageNull}}\n\n`;
      if (includeUsage) text += `${start}],"usage":${JSON.stringify(encodeUsage(usage))}}\n\n`;
      return utf8.encode(`${text}data: [DONE]\n\n`);
    },
  };
}

/** The members of a delta, without its braces. */
function encodeDelta(event: AnswerEvent): string {
  switch (event.type) {
    case "content":
      return `"content":${JSON.stringify(event.text)}`;
    case "reasoning":
      return `"reasoning_content":${JSON.stringify(event.text)}`;
    case "tool_call":
      return `"tool_calls":${JSON.stringify([
        { index: event.index, id: event.id, type: "function", function: { name: event.name, arguments: "" } },
      ])}`;
    case "tool_arguments":
      return `"tool_calls":[{"index":${event.index},"function":{"arguments":${JSON.stringify(event.text)}}}]`;
    case "embedding":
      throw new Error("a chat has no vectors");
  }
}
