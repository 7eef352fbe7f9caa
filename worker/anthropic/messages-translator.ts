import { AnswerReader, type ItemStart } from "../openai/answer-reader.ts";
import type { ChatChunk, ChatCompletion, ChatError } from "../openai/chat-answer.ts";
import type { Translator } from "../openai/translate-answer.ts";
import { BlockStream } from "./block-stream.ts";
import { anthropicError } from "./error-envelope.ts";
import { type Block, blockOf, encodeBlock, encodeUsage, isWholeInput } from "./message-blocks.ts";
import { encodeEvent } from "./message-event.ts";
import { namesByChatName } from "./message-tools.ts";
import { asksForThoughts, type MessagesRequest } from "./messages-request.ts";

const PING = encodeEvent("ping", {});

/** What a message says that is neither in its request nor in the chat. */
interface MessageFacts {
  readonly id: string;
  /** Told with an error. */
  readonly requestId: string;
  /** About how many the prompt takes. */
  readonly promptTokens: number;
}

/** A chat answer as a `message`, whole or as its events. */
export class MessagesTranslator implements Translator {
  readonly #facts: MessageFacts;
  #model: string;
  readonly #tools: ReadonlyMap<string, string>;
  readonly #showsThoughts: boolean;
  readonly #answer = new AnswerReader((start) => this.#add(start));
  readonly #blocks: Block[] = [];
  readonly #stream = new BlockStream();
  #started = false;

  constructor(request: MessagesRequest, facts: MessageFacts) {
    this.#facts = facts;
    this.#model = request.model;
    this.#tools = namesByChatName(request);
    this.#showsThoughts = asksForThoughts(request);
  }

  answeredBy(model: string): void {
    this.#model = model;
  }

  whole(completion: ChatCompletion): object {
    for (const { item, text } of this.#answer.whole(completion)) item.text += text;
    // What a limit has cut off cannot be called.
    const isCut = ({ kind, text }: Block): boolean =>
      kind === "tool_use" && this.#answer.finishReason === "length" && !isWholeInput(text);
    const blocks = this.#blocks.filter((block) => this.#isShown(block) && !isCut(block));
    return this.#message(blocks.map(encodeBlock), this.#stop());
  }

  chunk(chunk: ChatChunk): string {
    const pieces = this.#answer.chunk(chunk);
    const shown = pieces.filter(({ item }) => this.#isShown(item));
    const events = this.#start() + this.#stream.write(shown);
    // A client that hears nothing while the machine writes might give up.
    return events === "" && pieces.length > 0 ? PING : events;
  }

  comment(): string {
    return this.#start() + PING;
  }

  end(): string {
    const events = this.#start() + this.#stream.end();
    const fields = {
      delta: { ...this.#stop(), container: null },
      context_management: null,
      usage: encodeUsage(this.#answer.usage),
    };
    return events + encodeEvent("message_delta", fields) + encodeEvent("message_stop", {});
  }

  fail(error: ChatError): string {
    return encodeEvent("error", anthropicError(error, this.#facts.requestId));
  }

  #add(start: ItemStart): Block {
    const block = blockOf(start, this.#tools, `toolu_${this.#facts.id}_${this.#blocks.length}`);
    this.#blocks.push(block);
    return block;
  }

  #isShown({ kind }: Block): boolean {
    return kind !== "thinking" || this.#showsThoughts;
  }

  #start(): string {
    if (this.#started) return "";
    this.#started = true;
    // Some clients count by this one alone, which comes before the machine has counted.
    const usage = { ...encodeUsage(null), input_tokens: this.#facts.promptTokens };
    return encodeEvent("message_start", { message: this.#message([], NOT_STOPPED, usage) });
  }

  #message(
    content: readonly object[],
    stop: object,
    usage: object = encodeUsage(this.#answer.usage),
  ): object {
    return {
      id: `msg_${this.#facts.id}`,
      type: "message",
      role: "assistant",
      model: this.#model,
      content,
      ...stop,
      container: null,
      context_management: null,
      diagnostics: null,
      usage: { ...usage, ...NOT_OFFERED },
    };
  }

  #stop(): object {
    const reason = this.#stopReason();
    return {
      ...NOT_STOPPED,
      stop_reason: reason,
      stop_sequence: reason === "stop_sequence" ? this.#answer.stopText : null,
    };
  }

  #stopReason(): string {
    const { finishReason, stopText } = this.#answer;
    if (finishReason === "length") return "max_tokens";
    if (finishReason === "content_filter") return "refusal";
    if (this.#blocks.some(({ kind }) => kind === "tool_use")) return "tool_use";
    return stopText === null ? "end_turn" : "stop_sequence";
  }
}

/** Of Anthropic's prices and places: what a message's usage says beside what its last event does. */
const NOT_OFFERED = { cache_creation: null, inference_geo: null, service_tier: "standard", speed: null };

const NOT_STOPPED = { stop_reason: null, stop_sequence: null, stop_details: null };
