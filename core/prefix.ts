import { HASH_START, hashOn } from "./text-hash.ts";

/**
 * The prefix of a prompt as a few hashes: of its first 512 characters, of its first 768, and so on. Two prompts with the same
 * hash at a position have the same text up to there, so a pool can tell which machine has seen a conversation before without
 * storing any text. The blocks grow, so that a few of them cover long prompts too.
 *
 * The hashed text is what chat templates put first and clients repeat each turn: tools, then messages in their order.
 */

const BLOCKS = 16;
const FIRST_BLOCK = 512;
const GROWTH = 1.5;

/** Characters of the prompt that the hash at the same index covers. */
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

/** 32-bit hashes, one for each of the lengths that the prompt reaches; none for a short prompt. */
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

/** Hashes piecewise. The cuts are always at the same positions: at the ends of parts and blocks. */
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
