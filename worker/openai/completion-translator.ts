import type { ChatChunk } from "./chat-answer.ts";
import type { Translator } from "./translate-answer.ts";

/** A chat answer as legacy `text_completion` objects. */
export function completionTranslator(id: string, created: number, asked: string): Translator {
  const head = { id: `cmpl-${id}`, object: "text_completion", created, model: asked };

  function encodeChunk({ choices = [], usage }: ChatChunk): string {
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
    answeredBy: (model) => {
      head.model = model;
    },
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
    comment: (line) => `${line}\n\n`,
    end: () => "data: [DONE]\n\n",
    fail: (error) => `data: ${JSON.stringify({ error })}\n\n`,
  };
}
