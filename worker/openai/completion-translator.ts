import type { ChatChunk } from "./chat-answer.ts";
import type { Translator } from "./translate-answer.ts";

/** A chat answer as legacy `text_completion` objects. */
export function completionTranslator(id: string, created: number, model: string): Translator {
  const head = { id: `cmpl-${id}`, object: "text_completion", created, model };

  function encodeChunk({ choices = [], usage, error }: ChatChunk): string {
    if (error !== undefined) return `data: ${JSON.stringify({ error })}\n\n`;
    const translated = choices.map((choice) => ({
      index: 0,
      text: choice.delta.content ?? "",
      logprobs: null,
      finish_reason: choice.finish_reason,
    }));
    const usagePart = usage === undefined ? {} : { usage };
    return `data: ${JSON.stringify({ ...head, choices: translated, ...usagePart })}\n\n`;
  }

  return {
    whole: ({ choices, usage }) => ({
      ...head,
      choices: choices.map(({ message, finish_reason }) => ({
        index: 0,
        text: message.content ?? "",
        logprobs: null,
        finish_reason,
      })),
      usage,
    }),
    chunk: encodeChunk,
    end: (finished) => (finished ? "data: [DONE]\n\n" : ""),
  };
}
