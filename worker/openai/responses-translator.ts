import { AnswerReader, type AnswerPiece, type ItemStart } from "./answer-reader.ts";
import type { ChatChunk, ChatCompletion, ChatError } from "./chat-answer.ts";
import { InputReader } from "./custom-tool.ts";
import {
  describeResponse,
  encodeItem,
  encodePart,
  encodeUsage,
  isCall,
  type ItemKind,
  logprobs,
  type OutputItem,
  place,
  said,
} from "./response-object.ts";
import { callableTools, type CallableTool } from "./response-tools.ts";
import type { ResponsesRequest } from "./responses-request.ts";
import type { Translator } from "./translate-answer.ts";

const PREFIX = { reasoning: "rs", message: "msg", function_call: "fc", custom_tool_call: "ctc" } as const;
const DELTA = {
  reasoning: "response.reasoning_text",
  message: "response.output_text",
  function_call: "response.function_call_arguments",
  custom_tool_call: "response.custom_tool_call_input",
} as const;

/**
 * A chat answer as a `response`, whole or as its events. One text is open at a time: what is said closes what was
 * thought. Calls stay open until the end, since machines may write several at once.
 */
export class ResponsesTranslator implements Translator {
  readonly #id: string;
  #base: object;
  /** By the names that machines know. */
  readonly #tools: ReadonlyMap<string, CallableTool>;
  readonly #nowS: () => number;
  readonly #answer = new AnswerReader((start) => this.#add(start));
  readonly #items: OutputItem[] = [];
  #text: OutputItem | null = null;
  #sequence = 0;
  #started = false;

  /** @param nowS the clock, in seconds since the Unix epoch. */
  constructor(id: string, request: ResponsesRequest, nowS: () => number) {
    this.#id = id;
    this.#base = describeResponse(`resp_${id}`, nowS(), request);
    this.#tools = new Map(callableTools(request).map((tool) => [tool.chatName, tool]));
    this.#nowS = nowS;
  }

  answeredBy(model: string): void {
    this.#base = { ...this.#base, model };
  }

  whole(completion: ChatCompletion): object {
    this.#write(this.#answer.whole(completion));
    this.#closeAll();
    return this.#response(this.#outcome());
  }

  chunk(chunk: ChatChunk): string {
    return this.#start() + this.#write(this.#answer.chunk(chunk));
  }

  comment(line: string): string {
    return `${line}\n\n`;
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

  #write(pieces: readonly AnswerPiece<OutputItem>[]): string {
    let events = "";
    for (const { item, isFirst, text } of pieces) {
      if (isFirst) events += this.#open(item);
      events += this.#grow(item, item.reader === null ? text : item.reader.feed(text));
    }
    return events;
  }

  #add(start: ItemStart): OutputItem {
    const index = this.#items.length;
    const key = `${this.#id}_${index}`;
    const { callId = "", name = "" } = start.kind === "call" ? start : {};
    const tool = this.#tools.get(name);
    const kind = kindOf(start, tool);
    const item: OutputItem = {
      kind,
      id: `${PREFIX[kind]}_${key}`,
      index,
      callId: callId === "" ? `call_${key}` : callId,
      name: tool?.name ?? name,
      namespace: tool?.namespace ?? null,
      reader: kind === "custom_tool_call" ? new InputReader() : null,
      text: "",
      done: null,
    };
    this.#items.push(item);
    return item;
  }

  #open(item: OutputItem): string {
    const closed = this.#closeText();
    const encoded = encodeItem(item, "in_progress");
    const added = this.#event("response.output_item.added", { output_index: item.index, item: encoded });
    if (isCall(item)) return closed + added;
    this.#text = item;
    const part = { ...place(item), part: encodePart(item) };
    return closed + added + this.#event("response.content_part.added", part);
  }

  #grow(item: OutputItem, delta: string): string {
    if (delta === "") return "";
    item.text += delta;
    return this.#event(`${DELTA[item.kind]}.delta`, { ...place(item), delta, ...logprobs(item) });
  }

  /** What something else follows was not cut off, whatever the answer ends with. */
  #closeText(): string {
    const item = this.#text;
    this.#text = null;
    return item === null ? "" : this.#close(item, "completed");
  }

  #closeAll(): string {
    const open = this.#items.filter(({ done }) => done === null);
    return open.map((item) => this.#close(item, this.#outcome())).join("");
  }

  #close(item: OutputItem, status: "completed" | "incomplete"): string {
    let events = this.#grow(item, item.reader?.end() ?? "");
    const done = encodeItem(item, status);
    item.done = done;
    events += this.#event(`${DELTA[item.kind]}.done`, { ...place(item), ...said(item), ...logprobs(item) });
    if (!isCall(item))
      events += this.#event("response.content_part.done", { ...place(item), part: encodePart(item) });
    return events + this.#event("response.output_item.done", { output_index: item.index, item: done });
  }

  #outcome(): "completed" | "incomplete" {
    return ["length", "content_filter"].includes(this.#answer.finishReason) ? "incomplete" : "completed";
  }

  #response(status: string): object {
    const { finishReason, usage } = this.#answer;
    const reason = finishReason === "length" ? "max_output_tokens" : finishReason;
    return {
      ...this.#base,
      status,
      completed_at: status === "completed" ? this.#nowS() : null,
      incomplete_details: status === "incomplete" ? { reason } : null,
      output: this.#items.flatMap(({ done }) => done ?? []),
      usage: usage === null ? null : encodeUsage(usage),
    };
  }

  #event(type: string, fields: object): string {
    const data = JSON.stringify({ type, sequence_number: this.#sequence, ...fields });
    this.#sequence += 1;
    return `event: ${type}\ndata: ${data}\n\n`;
  }
}

function kindOf({ kind }: ItemStart, tool: CallableTool | undefined): ItemKind {
  if (kind !== "call") return kind;
  return tool?.isCustom === true ? "custom_tool_call" : "function_call";
}
