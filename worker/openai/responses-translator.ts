import type { ChatChunk, ChatCompletion, ChatDelta, ChatError, ChatUsage } from "./chat-answer.ts";
import type { ResponsesRequest } from "./responses-request.ts";
import type { Translator } from "./translate-answer.ts";

type Kind = "reasoning" | "message" | "function_call";

/** An output item that grows. Its text is what was said, what was thought or a call's arguments. */
interface OpenItem {
  readonly kind: Kind;
  readonly id: string;
  readonly index: number;
  readonly callId: string;
  readonly name: string;
  text: string;
}

const PREFIX = { reasoning: "rs", message: "msg", function_call: "fc" } as const;
const DELTA = {
  reasoning: "response.reasoning_text",
  message: "response.output_text",
  function_call: "response.function_call_arguments",
} as const;

/**
 * A chat answer as a `response`, whole or as its events. One output item is open at a time: machines send what they
 * think, then what they say, then their calls one after the other.
 */
export class ResponsesTranslator implements Translator {
  readonly #id: string;
  readonly #base: object;
  readonly #output: object[] = [];
  #sequence = 0;
  #started = false;
  #failed = false;
  #open: OpenItem | null = null;
  #openCall = -1;
  #finishReason = "stop";
  #usage: ChatUsage | null = null;

  constructor(id: string, createdAt: number, request: ResponsesRequest) {
    this.#id = id;
    this.#base = describe(`resp_${id}`, createdAt, request);
  }

  whole({ choices, usage }: ChatCompletion): object {
    for (const { message, finish_reason } of choices) {
      this.#finishReason = finish_reason;
      this.#delta(message);
    }
    this.#usage = usage;
    this.#close();
    return this.#response(this.#outcome());
  }

  chunk({ choices = [], usage, error }: ChatChunk): string {
    let events = this.#start();
    if (error !== undefined) return events + this.#fail(error);
    for (const { delta, finish_reason } of choices) {
      events += this.#delta(delta);
      if (finish_reason !== null) this.#finishReason = finish_reason;
    }
    if (usage != null) this.#usage = usage;
    return events;
  }

  end(finished: boolean): string {
    if (this.#failed) return "";
    const start = this.#start();
    if (!finished) return start + this.#fail(CUT_OFF);
    const closed = this.#close();
    const status = this.#outcome();
    return start + closed + this.#event(`response.${status}`, { response: this.#response(status) });
  }

  #start(): string {
    if (this.#started) return "";
    this.#started = true;
    const response = this.#response("in_progress");
    return this.#event("response.created", { response }) + this.#event("response.in_progress", { response });
  }

  #delta({ reasoning_content: thought, content, tool_calls: calls = [] }: ChatDelta): string {
    let events = "";
    if (thought != null && thought !== "") events += this.#grow("reasoning", thought);
    if (content != null && content !== "") events += this.#grow("message", content);
    for (const [
      at,
      { index = at, id = "", function: { name = "", arguments: args = "" } = {} },
    ] of calls.entries()) {
      if (index !== this.#openCall) {
        events += this.#add("function_call", id, name);
        this.#openCall = index;
      }
      if (args !== "") events += this.#grow("function_call", args);
    }
    return events;
  }

  #grow(kind: Kind, delta: string): string {
    const added = this.#open?.kind === kind ? "" : this.#add(kind);
    const item = this.#open;
    if (item === null) return added;
    item.text += delta;
    return added + this.#event(`${DELTA[kind]}.delta`, { ...place(item), delta, ...logprobs(item) });
  }

  #add(kind: Kind, callId = "", name = ""): string {
    const closed = this.#close();
    const index = this.#output.length;
    const item: OpenItem = {
      kind,
      id: `${PREFIX[kind]}_${this.#id}_${index}`,
      index,
      callId,
      name,
      text: "",
    };
    this.#open = item;
    const added = this.#event("response.output_item.added", {
      output_index: index,
      item: encodeItem(item, "in_progress"),
    });
    if (kind === "function_call") return closed + added;
    return (
      closed + added + this.#event("response.content_part.added", { ...place(item), part: encodePart(item) })
    );
  }

  #close(): string {
    const item = this.#open;
    if (item === null) return "";
    this.#open = null;
    const done = encodeItem(item, this.#outcome());
    this.#output.push(done);
    const call = item.kind === "function_call";
    const said = call ? { name: item.name, arguments: item.text } : { text: item.text };
    let events = this.#event(`${DELTA[item.kind]}.done`, { ...place(item), ...said, ...logprobs(item) });
    if (!call)
      events += this.#event("response.content_part.done", { ...place(item), part: encodePart(item) });
    return events + this.#event("response.output_item.done", { output_index: item.index, item: done });
  }

  /** `response.failed` is the API's own event; SDKs throw only at one with an `error` member, so that one follows. */
  #fail(error: ChatError): string {
    this.#failed = true;
    const { code, message, param } = error;
    const response = { ...this.#response("failed"), error: { code, message } };
    return (
      this.#event("response.failed", { response }) + this.#event("error", { code, message, param, error })
    );
  }

  #outcome(): "completed" | "incomplete" {
    return ["length", "content_filter"].includes(this.#finishReason) ? "incomplete" : "completed";
  }

  #response(status: string): object {
    const reason = this.#finishReason === "length" ? "max_output_tokens" : this.#finishReason;
    return {
      ...this.#base,
      status,
      incomplete_details: status === "incomplete" ? { reason } : null,
      output: [...this.#output],
      usage: this.#usage === null ? null : encodeUsage(this.#usage),
    };
  }

  #event(type: string, fields: object): string {
    const data = JSON.stringify({ type, sequence_number: this.#sequence, ...fields });
    this.#sequence += 1;
    return `event: ${type}\ndata: ${data}\n\n`;
  }
}

const CUT_OFF: ChatError = {
  message: "the answer was cut off; try again",
  type: "server_error",
  code: "provider_error",
  param: null,
};

function describe(id: string, createdAt: number, request: ResponsesRequest): object {
  return {
    id,
    object: "response",
    created_at: createdAt,
    background: false,
    error: null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    metadata: request.metadata ?? {},
    model: request.model,
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
    store: false,
    temperature: request.temperature ?? 1,
    text: { format: request.text?.format ?? { type: "text" } },
    tool_choice: request.tool_choice ?? "auto",
    tools: request.tools ?? [],
    top_p: request.top_p ?? 1,
    truncation: "disabled",
  };
}

function place({ kind, id, index }: OpenItem): object {
  const where = { item_id: id, output_index: index };
  return kind === "function_call" ? where : { ...where, content_index: 0 };
}

function logprobs({ kind }: OpenItem): object {
  return kind === "message" ? { logprobs: [] } : {};
}

function encodePart({ kind, text }: OpenItem): object {
  if (kind === "reasoning") return { type: "reasoning_text", text };
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

function encodeItem(item: OpenItem, status: string): object {
  const { kind: type, id, callId, name, text } = item;
  if (type === "function_call") return { id, type, status, call_id: callId, name, arguments: text };
  const content = status === "in_progress" ? [] : [encodePart(item)];
  if (type === "reasoning") return { id, type, status, summary: [], content };
  return { id, type, status, role: "assistant", content };
}

function encodeUsage(usage: ChatUsage): object {
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: { cached_tokens: usage.prompt_tokens_details?.cached_tokens ?? 0 },
    output_tokens: usage.completion_tokens,
    output_tokens_details: { reasoning_tokens: usage.completion_tokens_details?.reasoning_tokens ?? 0 },
    total_tokens: usage.total_tokens,
  };
}
