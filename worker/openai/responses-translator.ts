import { ANSWER_CHARS_MAX } from "../../core/limits.ts";
import type {
  ChatChunk,
  ChatCompletion,
  ChatDelta,
  ChatError,
  ChatToolCall,
  ChatUsage,
} from "./chat-answer.ts";
import { InputReader } from "./custom-tool.ts";
import { callableTools, type CallableTool, offeredTools } from "./response-tools.ts";
import type { ResponsesRequest } from "./responses-request.ts";
import type { Translator } from "./translate-answer.ts";

type Kind = "reasoning" | "message" | "function_call" | "custom_tool_call";

/** An output item that grows. Its text is what was said, what was thought, or a call's arguments or input. */
interface OutputItem {
  readonly kind: Kind;
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

const PREFIX = { reasoning: "rs", message: "msg", function_call: "fc", custom_tool_call: "ctc" } as const;
const DELTA = {
  reasoning: "response.reasoning_text",
  message: "response.output_text",
  function_call: "response.function_call_arguments",
  custom_tool_call: "response.custom_tool_call_input",
} as const;

/** What an item takes beside its text. */
const ITEM_CHARS = 1024;

const NO_CALL: Pick<OutputItem, "callId" | "name" | "namespace"> = { callId: "", name: "", namespace: null };

/**
 * A chat answer as a `response`, whole or as its events. One text is open at a time: what is said closes what was
 * thought. Calls stay open until the end, since machines may write several at once.
 */
export class ResponsesTranslator implements Translator {
  readonly #id: string;
  readonly #base: object;
  /** By the names that machines know. */
  readonly #tools: ReadonlyMap<string, CallableTool>;
  readonly #nowS: () => number;
  readonly #items: OutputItem[] = [];
  /** The open calls by their index in chat. */
  readonly #calls = new Map<number, OutputItem>();
  #text: OutputItem | null = null;
  /** Kept of the answer. */
  #chars = 0;
  #sequence = 0;
  #started = false;
  #finishReason = "stop";
  #usage: ChatUsage | null = null;

  /** @param nowS the clock, in seconds since the Unix epoch. */
  constructor(id: string, request: ResponsesRequest, nowS: () => number) {
    this.#id = id;
    this.#base = describe(`resp_${id}`, nowS(), request);
    this.#tools = new Map(callableTools(request).map((tool) => [tool.chatName, tool]));
    this.#nowS = nowS;
  }

  whole({ choices, usage = null }: ChatCompletion): object {
    for (const { message, finish_reason } of choices) {
      this.#finishReason = finish_reason;
      this.#delta(message);
    }
    this.#usage = usage;
    this.#closeAll();
    return this.#response(this.#outcome());
  }

  chunk({ choices = [], usage }: ChatChunk): string {
    let events = this.#start();
    for (const { delta, finish_reason } of choices) {
      events += this.#delta(delta);
      if (finish_reason != null) this.#finishReason = finish_reason;
    }
    if (usage != null) this.#usage = usage;
    return events;
  }

  end(): string {
    const events = this.#start() + this.#closeAll();
    const status = this.#outcome();
    return events + this.#event(`response.${status}`, { response: this.#response(status) });
  }

  /** `response.failed` is the API's own event; SDKs throw only at one with an `error` member, so that one follows. */
  fail(error: ChatError): string {
    const { code, message, param } = error;
    const events = this.#start();
    const response = { ...this.#response("failed"), error: { code, message } };
    return (
      events +
      this.#event("response.failed", { response }) +
      this.#event("error", { code, message, param, error })
    );
  }

  #start(): string {
    if (this.#started) return "";
    this.#started = true;
    const response = this.#response("in_progress");
    return this.#event("response.created", { response }) + this.#event("response.in_progress", { response });
  }

  #delta({ reasoning_content: thought, content, tool_calls: calls }: ChatDelta): string {
    let events = "";
    if (thought != null && thought !== "") events += this.#say("reasoning", thought);
    if (content != null && content !== "") events += this.#say("message", content);
    for (const [at, call] of (calls ?? []).entries()) events += this.#call(call.index ?? at, call);
    return events;
  }

  #say(kind: "reasoning" | "message", delta: string): string {
    if (this.#text?.kind === kind) return this.#grow(this.#text, delta);
    const closed = this.#closeText();
    const item = this.#add(kind);
    this.#text = item;
    return (
      closed +
      this.#added(item) +
      this.#event("response.content_part.added", { ...place(item), part: encodePart(item) }) +
      this.#grow(item, delta)
    );
  }

  #call(index: number, { id = "", function: called }: ChatToolCall): string {
    const delta = called?.arguments ?? "";
    const known = this.#calls.get(index);
    if (known !== undefined && (id === "" || id === known.callId)) return this.#write(known, delta);
    const closed = this.#closeText();
    const { name = "" } = called ?? {};
    const tool = this.#tools.get(name);
    const item = this.#add(tool?.isCustom === true ? "custom_tool_call" : "function_call", {
      callId: id,
      name: tool?.name ?? name,
      namespace: tool?.namespace ?? null,
    });
    this.#calls.set(index, item);
    return closed + this.#added(item) + this.#write(item, delta);
  }

  #write(item: OutputItem, args: string): string {
    return this.#grow(item, item.reader === null ? args : item.reader.feed(args));
  }

  #add(kind: Kind, { callId, name, namespace } = NO_CALL): OutputItem {
    this.#take(ITEM_CHARS);
    const index = this.#items.length;
    const key = `${this.#id}_${index}`;
    const item: OutputItem = {
      kind,
      id: `${PREFIX[kind]}_${key}`,
      index,
      callId: callId === "" ? `call_${key}` : callId,
      name,
      namespace,
      reader: kind === "custom_tool_call" ? new InputReader() : null,
      text: "",
      done: null,
    };
    this.#items.push(item);
    return item;
  }

  #added(item: OutputItem): string {
    const encoded = encodeItem(item, "in_progress");
    return this.#event("response.output_item.added", { output_index: item.index, item: encoded });
  }

  #grow(item: OutputItem, delta: string): string {
    if (delta === "") return "";
    const before = item.text.length;
    // What a machine sends need not be text.
    item.text += delta;
    this.#take(item.text.length - before);
    return this.#event(`${DELTA[item.kind]}.delta`, { ...place(item), delta, ...logprobs(item) });
  }

  /** All that was said is said again at the end, so it is kept: a machine without an end would take all memory here. */
  #take(chars: number): void {
    this.#chars += chars;
    if (this.#chars > ANSWER_CHARS_MAX) throw new RangeError("the answer is too long");
  }

  #closeText(): string {
    const item = this.#text;
    this.#text = null;
    return item === null ? "" : this.#close(item);
  }

  #closeAll(): string {
    this.#text = null;
    const open = this.#items.filter(({ done }) => done === null);
    return open.map((item) => this.#close(item)).join("");
  }

  #close(item: OutputItem): string {
    let events = this.#grow(item, item.reader?.end() ?? "");
    const done = encodeItem(item, this.#outcome());
    item.done = done;
    events += this.#event(`${DELTA[item.kind]}.done`, { ...place(item), ...said(item), ...logprobs(item) });
    if (!isCall(item))
      events += this.#event("response.content_part.done", { ...place(item), part: encodePart(item) });
    return events + this.#event("response.output_item.done", { output_index: item.index, item: done });
  }

  #outcome(): "completed" | "incomplete" {
    return ["length", "content_filter"].includes(this.#finishReason) ? "incomplete" : "completed";
  }

  #response(status: string): object {
    const reason = this.#finishReason === "length" ? "max_output_tokens" : this.#finishReason;
    return {
      ...this.#base,
      status,
      completed_at: status === "completed" ? this.#nowS() : null,
      incomplete_details: status === "incomplete" ? { reason } : null,
      output: this.#items.flatMap(({ done }) => done ?? []),
      usage: this.#usage === null ? null : encodeUsage(this.#usage),
    };
  }

  #event(type: string, fields: object): string {
    const data = JSON.stringify({ type, sequence_number: this.#sequence, ...fields });
    this.#sequence += 1;
    return `event: ${type}\ndata: ${data}\n\n`;
  }
}

/** What a response says of its request. Every field is there, whatever was asked: some clients insist on each. */
function describe(id: string, createdAt: number, request: ResponsesRequest): object {
  return {
    id,
    object: "response",
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

function isCall({ kind }: OutputItem): boolean {
  return kind === "function_call" || kind === "custom_tool_call";
}

function place(item: OutputItem): object {
  const where = { item_id: item.id, output_index: item.index };
  return isCall(item) ? where : { ...where, content_index: 0 };
}

function said({ kind, name, text }: OutputItem): object {
  if (kind === "function_call") return { name, arguments: text };
  return kind === "custom_tool_call" ? { input: text } : { text };
}

function logprobs({ kind }: OutputItem): object {
  return kind === "message" ? { logprobs: [] } : {};
}

function encodePart({ kind, text }: OutputItem): object {
  if (kind === "reasoning") return { type: "reasoning_text", text };
  return { type: "output_text", text, annotations: [], logprobs: [] };
}

function encodeItem(item: OutputItem, status: string): object {
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

function encodeUsage(usage: ChatUsage): object {
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: { cached_tokens: usage.prompt_tokens_details?.cached_tokens ?? 0 },
    output_tokens: usage.completion_tokens,
    output_tokens_details: { reasoning_tokens: usage.completion_tokens_details?.reasoning_tokens ?? 0 },
    total_tokens: usage.total_tokens,
  };
}
