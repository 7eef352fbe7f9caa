import { z } from "zod";

import { MAX_TOOLS } from "./chat-request.ts";
import { inputToArguments } from "./custom-tool.ts";
import { invalid, unsupported } from "./field-refusals.ts";
import { chatNameOf, toChatTools, toolChoiceSchema, toolSchema } from "./response-tools.ts";

/**
 * A request of the Responses API, and the chat request that asks the same of a machine. Nothing is kept between
 * requests: whatever leans on kept state is refused. `store` is taken and answered with false, since SDKs send it
 * by default and nothing can come of it: the routes that would read a stored answer say 404.
 */

const partSchema = z.looseObject({ type: z.string(), text: z.string().nullish() });

const itemSchema = z.looseObject({
  type: z.string().optional(),
  role: z.enum(["system", "developer", "user", "assistant"]).optional(),
  content: z.union([z.string(), z.array(partSchema)]).nullish(),
  call_id: z.string().optional(),
  name: z.string().optional(),
  namespace: z.string().nullish(),
  arguments: z.string().optional(),
  input: z.string().optional(),
  output: z.union([z.string(), z.array(partSchema)]).optional(),
});

const formatSchema = z.looseObject({ type: z.enum(["text", "json_object", "json_schema"]) });

export const responsesRequestSchema = z.looseObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(itemSchema).min(1)]),
  instructions: z.string().nullish(),
  stream: z.boolean().nullish(),
  tools: z.array(toolSchema).max(MAX_TOOLS).nullish(),
  tool_choice: toolChoiceSchema.nullish(),
  text: z.looseObject({ format: formatSchema.nullish() }).nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  reasoning: z.looseObject({ effort: z.string().nullish() }).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  max_tool_calls: z.int().min(1).nullish(),
  prompt_cache_key: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  include: z.array(z.string()).nullish(),
  top_logprobs: z.int().nullish(),
});

export type ResponsesRequest = z.infer<typeof responsesRequestSchema>;
type Item = z.infer<typeof itemSchema>;
type Part = z.infer<typeof partSchema>;

interface ChatMessage {
  readonly role: string;
  readonly content: string | null;
  readonly tool_call_id?: string;
  tool_calls?: ChatCall[];
}

interface ChatCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

/** @throws HttpError 400 that names what cannot be done in `param` */
export function responsesToChat(request: ResponsesRequest): object {
  for (const param of ["previous_response_id", "conversation", "prompt"] as const) {
    if (request[param] != null) throw unsupported(param, "nothing is kept between requests; send it all");
  }
  if (request["generate"] === false) throw unsupported("generate", "there is nothing to warm up");
  if (request["background"] === true) throw unsupported("background", "answers are not kept");
  if ((request.top_logprobs ?? 0) > 0) throw unsupported("top_logprobs", "there are no log probabilities");
  const logprobs = request.include?.indexOf("message.output_text.logprobs") ?? -1;
  if (logprobs >= 0) throw unsupported(`include[${logprobs}]`, "there are no log probabilities");
  const format = request.text?.format;
  return {
    model: request.model,
    messages: toMessages(request),
    stream: request.stream ?? false,
    stream_options: request.stream === true ? { include_usage: true } : undefined,
    max_completion_tokens: request.max_output_tokens ?? undefined,
    temperature: request.temperature ?? undefined,
    top_p: request.top_p ?? undefined,
    reasoning_effort: request.reasoning?.effort ?? undefined,
    response_format: format == null ? undefined : toResponseFormat(format),
    ...toChatTools(request),
    ...Object.fromEntries(SAMPLING.map((name) => [name, request[name] ?? undefined])),
  };
}

/** Not of this API, but clients that know our engine may send them here as they do in a chat. */
const SAMPLING = [
  "seed",
  "stop",
  "frequency_penalty",
  "presence_penalty",
  "top_k",
  "min_p",
  "repeat_penalty",
  "grammar",
] as const;

function toMessages({ input, instructions }: ResponsesRequest): ChatMessage[] {
  const chat = new ChatWriter();
  if (instructions != null) chat.messages.push({ role: "system", content: instructions });
  if (typeof input === "string") chat.messages.push({ role: "user", content: input });
  else for (const [index, item] of input.entries()) chat.add(item, `input[${index}]`);
  return chat.messages;
}

/** Makes messages of items, one after the other. A turn may have very many calls, so nothing is searched or copied. */
class ChatWriter {
  readonly messages: ChatMessage[] = [];
  readonly #callIds = new Set<string>();

  add(item: Item, param: string): void {
    switch (item.type ?? "message") {
      case "message":
        if (item.role === undefined) throw invalid(`${param}.role`, "a message needs a role");
        this.messages.push({ role: item.role, content: textOf(item.content, `${param}.content`) });
        return;
      case "function_call":
      case "custom_tool_call":
        this.#addCall(item, param);
        return;
      case "function_call_output":
      case "custom_tool_call_output":
        if (item.call_id === undefined) throw invalid(`${param}.call_id`, "an output needs its call's id");
        if (!this.#callIds.has(item.call_id)) {
          throw invalid(`${param}.call_id`, "no call before it has this id");
        }
        this.messages.push({
          role: "tool",
          tool_call_id: item.call_id,
          content: textOf(item.output, `${param}.output`),
        });
        return;
      case "reasoning":
        return;
      default:
        throw unsupported(`${param}.type`, `items of type ${item.type} are not supported`);
    }
  }

  #addCall(item: Item, param: string): void {
    const { type, call_id: id, namespace, name = "", arguments: args = "", input = "" } = item;
    if (id === undefined) throw invalid(`${param}.call_id`, "a call needs its id");
    this.#callIds.add(id);
    const text = type === "function_call" ? args : inputToArguments(input);
    const called = { name: chatNameOf(namespace, name), arguments: text };
    const call = { id, type: "function", function: called } as const;
    const last = this.messages.at(-1);
    // Chat wants the calls that were made together, and the text before them, in one message.
    if (last?.role !== "assistant")
      this.messages.push({ role: "assistant", content: null, tool_calls: [call] });
    else if (last.tool_calls === undefined) last.tool_calls = [call];
    else last.tool_calls.push(call);
  }
}

function textOf(content: string | Part[] | null | undefined, param: string): string {
  if (content == null) throw invalid(param, "is missing");
  if (typeof content === "string") return content;
  return content
    .map(({ type, text, refusal }, index) => {
      if (["input_text", "output_text", "text"].includes(type) && text != null) return text;
      if (type === "refusal" && typeof refusal === "string") return refusal;
      throw unsupported(`${param}[${index}]`, `parts of type ${type} are not supported, only text`);
    })
    .join("");
}

function toResponseFormat({ type, ...rest }: z.infer<typeof formatSchema>): object {
  return type === "json_schema" ? { type, json_schema: rest } : { type };
}
