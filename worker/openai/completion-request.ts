import { z } from "zod";

import type { FieldOf } from "./chat-fields.ts";
import { fallbacksSchema } from "./chat-request.ts";

/** A legacy text completion request, and the chat request that asks the same of a machine. */

const nothing = (what: string) =>
  z.union([z.literal(false), z.literal(0), z.literal("")], { error: `${what} is not supported` }).nullish();

export const completionRequestSchema = z.looseObject({
  model: z.string().min(1),
  models: fallbacksSchema,
  prompt: z.union([z.string(), z.tuple([z.string()])], {
    error: "must be one text; lists of prompts and token ids are not supported",
  }),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
  n: z.literal(1, { error: "only n = 1 is supported" }).nullish(),
  best_of: z.literal(1, { error: "only best_of = 1 is supported" }).nullish(),
  echo: nothing("echo"),
  logprobs: z.null({ error: "logprobs are not supported" }).optional(),
  suffix: nothing("suffix"),
  // A call would be left out of the answer, which has only text.
  tools: z.null({ error: "tools are not supported here; send a chat" }).optional(),
});

/** What the request calls a field of its chat. */
export const chatFieldOf: FieldOf = (field) => (/^messages\b/.test(field) ? "prompt" : field);

export function completionToChat(request: z.infer<typeof completionRequestSchema>): object {
  const { prompt, echo, logprobs, suffix, best_of, models, tools, ...same } = request;
  void [echo, logprobs, suffix, best_of, models, tools];
  const content = typeof prompt === "string" ? prompt : prompt[0];
  return { ...same, messages: [{ role: "user", content }] };
}
