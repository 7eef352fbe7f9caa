import { HASH_START, hashOn } from "./text-hash.ts";

/**
 * What a prompt begins with, as a few numbers: hashes of its first 512 characters, of its first 768, and so on. Two
 * prompts with the same number at a place begin with the same text up to there, so a pool can tell which machine has
 * read a conversation before without keeping a word of it. The blocks grow, so that a handful covers long prompts too.
 *
 * Read is what a chat template puts first and a client repeats each turn: tools, then messages in their order.
 */

const BLOCKS = 16;
const FIRST_BLOCK = 512;
const GROWTH = 1.5;

/** Characters of the prompt that the number at the same place covers. */
export const PREFIX_LENGTHS: readonly number[] = Array.from({ length: BLOCKS }, (_, index) =>
  Math.round(FIRST_BLOCK * GROWTH ** index),
);

export interface Prompt {
  readonly messages: readonly PromptMessage[];
  readonly tools?: unknown;
}

interface PromptMessage {
  readonly role: string;
  readonly content?: string | readonly Readonly<Record<string, unknown>>[] | null | undefined;
  readonly tool_calls?: unknown;
}

/** Numbers of 32 bits, one for each length that the prompt reaches; none for a short prompt. */
export function prefixOf({ messages, tools }: Prompt): number[] {
  const reader = new PrefixReader();
  if (Array.isArray(tools) && tools.length > 0) reader.read(JSON.stringify(tools));
  for (const { role, content, tool_calls } of messages) {
    if (reader.isFull) break;
    reader.read(`\n${role}\n`);
    if (typeof content === "string") reader.read(content);
    else for (const part of content ?? []) if (typeof part["text"] === "string") reader.read(part["text"]);
    if (tool_calls !== undefined) reader.read(JSON.stringify(tool_calls));
  }
  return reader.hashes;
}

/** A prompt is always cut at the same places: where its parts and the blocks end. */
class PrefixReader {
  readonly hashes: number[] = [];
  #hash = HASH_START;
  #read = 0;

  get isFull(): boolean {
    return this.hashes.length === BLOCKS;
  }

  read(text: string): void {
    let from = 0;
    while (from < text.length && !this.isFull) {
      const left = (PREFIX_LENGTHS[this.hashes.length] ?? 0) - this.#read;
      const to = Math.min(text.length, from + left);
      this.#hash = hashOn(this.#hash, text, from, to);
      this.#read += to - from;
      if (to - from === left) this.hashes.push(this.#hash >>> 0);
      from = to;
    }
  }
}
