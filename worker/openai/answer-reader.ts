import { ANSWER_CHARS_MAX } from "../../core/limits.ts";
import type { ChatChunk, ChatCompletion, ChatDelta, ChatToolCall, ChatUsage } from "./chat-answer.ts";

/** What begins to grow: a thought, a text, or the arguments of a call. */
export type ItemStart =
  | { readonly kind: "reasoning" | "message" }
  | { readonly kind: "call"; readonly callId: string; readonly name: string };

/** A piece of an answer, by which one of its items grows. */
export interface AnswerPiece<Item> {
  readonly item: Item;
  readonly isFirst: boolean;
  readonly text: string;
}

/** What an item takes beside its text. */
const ITEM_CHARS = 1024;

/**
 * Takes a chat answer apart, whole or chunk by chunk, into the items of which other APIs make theirs. One text grows at
 * a time: what is said ends what was thought, and a call ends both. Calls grow until the end, since machines may write
 * several at once.
 */
export class AnswerReader<Item> {
  readonly #begin: (start: ItemStart) => Item;
  /** The calls that grow, by their index in chat. */
  readonly #calls = new Map<number, { readonly item: Item; readonly id: string }>();
  #text: { readonly item: Item; readonly kind: "reasoning" | "message" } | null = null;
  #chars = 0;
  #finishReason = "stop";
  #stopText: string | null = null;
  #usage: ChatUsage | null = null;

  /** @param begin makes an item of what begins. */
  constructor(begin: (start: ItemStart) => Item) {
    this.#begin = begin;
  }

  /** As the machine has said it last. */
  get finishReason(): string {
    return this.#finishReason;
  }

  /** The text of `stop` that has ended it, if one has and the machine says which. */
  get stopText(): string | null {
    return this.#stopText;
  }

  get usage(): ChatUsage | null {
    return this.#usage;
  }

  whole({ choices, usage }: ChatCompletion): AnswerPiece<Item>[] {
    return this.chunk({
      choices: choices.map(({ message, ...end }) => ({ delta: message, ...end })),
      usage: usage ?? null,
    });
  }

  /** @throws RangeError for an answer that is too long, and TypeError for one that makes no sense */
  chunk({ choices = [], usage }: ChatChunk): AnswerPiece<Item>[] {
    const pieces: AnswerPiece<Item>[] = [];
    for (const { delta, finish_reason, stop_reason } of choices) {
      this.#read(delta, pieces);
      if (finish_reason != null) this.#finishReason = finish_reason;
      if (typeof stop_reason === "string") this.#stopText = stop_reason;
    }
    if (usage != null) this.#usage = usage;
    return pieces;
  }

  #read({ reasoning_content: thought, content, tool_calls }: ChatDelta, pieces: AnswerPiece<Item>[]): void {
    if (thought != null && thought !== "") pieces.push(this.#say("reasoning", thought));
    if (content != null && content !== "") pieces.push(this.#say("message", content));
    for (const [at, call] of (tool_calls ?? []).entries()) pieces.push(this.#call(call.index ?? at, call));
  }

  #say(kind: "reasoning" | "message", text: string): AnswerPiece<Item> {
    const isFirst = this.#text?.kind !== kind;
    this.#text = this.#text?.kind === kind ? this.#text : { kind, item: this.#start({ kind }) };
    return { item: this.#text.item, isFirst, text: this.#taken(text) };
  }

  #call(index: number, { id = "", function: called }: ChatToolCall): AnswerPiece<Item> {
    const text = this.#taken(called?.arguments ?? "");
    const known = this.#calls.get(index);
    if (known !== undefined && (id === "" || id === known.id)) {
      return { item: known.item, isFirst: false, text };
    }
    this.#text = null;
    const item = this.#start({ kind: "call", callId: id, name: called?.name ?? "" });
    this.#calls.set(index, { item, id });
    return { item, isFirst: true, text };
  }

  #start(start: ItemStart): Item {
    this.#take(ITEM_CHARS);
    return this.#begin(start);
  }

  #taken(value: unknown): string {
    // What a machine sends need not be text.
    const text = String(value);
    this.#take(text.length);
    return text;
  }

  /** Answers are kept while they grow, so a machine without an end would take all memory here. */
  #take(chars: number): void {
    this.#chars += chars;
    if (this.#chars > ANSWER_CHARS_MAX) throw new RangeError("the answer is too long");
  }
}
