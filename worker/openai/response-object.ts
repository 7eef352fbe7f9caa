import type { ChatUsage } from "./chat-answer.ts";
import type { InputReader } from "./custom-tool.ts";
import { offeredTools } from "./response-tools.ts";
import type { ResponsesRequest } from "./responses-request.ts";

/** A `response` and its items as the Responses API writes them. */

export type ItemKind = "reasoning" | "message" | "function_call" | "custom_tool_call";

/** An output item that grows. Its text is what was said, what was thought, or a call's arguments or input. */
export interface OutputItem {
  readonly kind: ItemKind;
  readonly id: string;
  readonly index: number;
  readonly callId: string;
  readonly name: string;
  /** Where the tool of a call is, if it is in one. */
  readonly namespace: string | null;
  /** Of a call of a custom tool. */
  readonly reader: InputReader | null;
  text: string;
  /** What it came to, once it grows no more. */
  done: object | null;
}

/** What a response says of its request. Every field is there, whatever was asked: some clients insist on each. */
export function describeResponse(id: string, createdAt: number, request: ResponsesRequest): object {
  return {
    id,
    object: "response",
    access_programs: null,
    created_at: createdAt,
    background: false,
    error: null,
    frequency_penalty: request.frequency_penalty ?? 0,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    max_tool_calls: request.max_tool_calls ?? null,
    metadata: request.metadata ?? {},
    model: request.model,
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    presence_penalty: request.presence_penalty ?? 0,
    previous_response_id: null,
    prompt_cache_key: request.prompt_cache_key ?? null,
    reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
    safety_identifier: request.safety_identifier ?? null,
    service_tier: "default",
    store: false,
    temperature: request.temperature ?? 1,
    text: { format: describeFormat(request.text?.format) },
    tool_choice: request.tool_choice ?? "auto",
    tools: offeredTools(request).map((tool) => ({ description: null, ...TOOL_DEFAULTS[tool.type], ...tool })),
    top_logprobs: 0,
    top_p: request.top_p ?? 1,
    truncation: "disabled",
  };
}

const TOOL_DEFAULTS: Readonly<Record<string, object>> = {
  custom: { format: { type: "text" } },
  function: { parameters: null, strict: null },
};

function describeFormat(format: NonNullable<ResponsesRequest["text"]>["format"]): object {
  if (format == null) return { type: "text" };
  return format.type === "json_schema" ? { description: null, strict: false, ...format } : format;
}

export function isCall({ kind }: OutputItem): boolean {
  return kind === "function_call" || kind === "custom_tool_call";
}

export function place(item: OutputItem): object {
  const where = { item_id: item.id, output_index: item.index };
  return isCall(item) ? where : { ...where, content_index: 0 };
}

export function said({ kind, name, text }: OutputItem): object {
  if (kind === "function_call") return { name, arguments: text };
  return kind === "custom_tool_call" ? { input: text } : { text };
}

export function logprobs({ kind }: OutputItem): object {
  return kind === "message" ? { logprobs: [] } : {};
}

export function encodePart({ kind, text }: OutputItem): object {
  if (kind === "reasoning") return { type: "reasoning_text", text };
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

export function encodeItem(item: OutputItem, status: string): object {
  const { kind: type, id, callId, name, text } = item;
  if (isCall(item)) {
    const where = item.namespace === null ? {} : { namespace: item.namespace };
    const written = type === "function_call" ? { arguments: text } : { input: text };
    return { id, type, status, call_id: callId, ...where, name, ...written };
  }
  const content = status === "in_progress" ? [] : [encodePart(item)];
  if (type === "reasoning") return { id, type, status, summary: [], content };
  return { id, type, status, role: "assistant", content };
}

export function encodeUsage(usage: ChatUsage): object {
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: {
      cached_tokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
      cache_write_tokens: 0,
    },
    output_tokens: usage.completion_tokens,
    output_tokens_details: { reasoning_tokens: usage.completion_tokens_details?.reasoning_tokens ?? 0 },
    total_tokens: usage.total_tokens,
  };
}
