import { BYTES_PER_WORD, WordHash } from "./text-hash.ts";

/**
 * The prefix of a prompt as a few hashes: of its first 512 bytes, of its first 768, and so on. Two prompts with the same hash
 * at a position have the same text up to there, so a pool can tell which machine has seen a conversation before without
 * storing any text. The blocks grow, so that a few of them cover long prompts too.
 *
 * The hashed text is what chat templates put first and clients repeat each turn: tools, then messages in their order.
 */

const BLOCKS = 16;
const FIRST_BLOCK = 512;
const GROWTH = 1.5;

/** Hashes take so many bytes at a time. */
const UNIT = 8;

/** Bytes of the prompt, as UTF-8, that the hash at the same index covers. */
export const PREFIX_LENGTHS: readonly number[] = Array.from(
  { length: BLOCKS },
  (_, index) => UNIT * Math.round((FIRST_BLOCK / UNIT) * GROWTH ** index),
);

const LONGEST = PREFIX_LENGTHS.at(-1) ?? 0;

export interface Prompt {
  readonly messages: readonly PromptMessage[];
  readonly tools?: unknown;
}

interface PromptMessage {
  readonly role: string;
  readonly content?: string | readonly Readonly<Record<string, unknown>>[] | null | undefined;
  readonly tool_calls?: unknown;
}

/** Hashes of 32 bits. */
export interface Prefix {
  /** One for each of the lengths that the prompt reaches; none for a short prompt. */
  readonly blocks: readonly number[];
  /**
   * Of all up to the end of the first message of a user, which is the same in each turn of a conversation and seldom in another.
   * Null if that comes before the end of the first block, where the blocks are fine enough, or after the last.
   */
  readonly conversation: number | null;
}

export function prefixOf({ messages, tools }: Prompt): Prefix {
  const beginning = (written ??= new Beginning());
  beginning.clear();
  if (Array.isArray(tools) && tools.length > 0) beginning.write(JSON.stringify(tools));
  let conversationEnd: number | null = null;
  for (const { role, content, tool_calls } of messages) {
    if (beginning.isFull) break;
    beginning.write(`\n${role}\n`);
    if (typeof content === "string") beginning.write(content);
    else
      for (const part of content ?? []) if (typeof part["text"] === "string") beginning.write(part["text"]);
    if (tool_calls !== undefined) beginning.write(JSON.stringify(tool_calls));
    if (role === "user") conversationEnd ??= beginning.fillUnit();
  }
  return beginning.hash(conversationEnd);
}

/** One serves all prompts, one after the other. Made with the first, since pools have none. */
let written: Beginning | undefined;

/** Of the web's standard, which all of our runtimes have. */
declare const TextEncoder: new () => {
  encodeInto(text: string, bytes: Uint8Array): { readonly written: number };
};

/** The beginning of a prompt in UTF-8: to encode it and hash words of bytes is faster than to hash letters. */
class Beginning {
  readonly #utf8 = new TextEncoder();
  /** With room beyond for any character. */
  readonly #bytes = new Uint8Array(LONGEST + UNIT);
  readonly #words = new Int32Array(this.#bytes.buffer);
  #length = 0;

  get isFull(): boolean {
    return this.#length >= LONGEST;
  }

  clear(): void {
    this.#length = 0;
  }

  write(text: string): void {
    if (this.isFull) return;
    const room = this.#bytes.subarray(this.#length);
    // Each character takes a byte at least, and the text may have megabytes.
    const beginning = text.length > room.length ? text.slice(0, room.length) : text;
    this.#length += this.#utf8.encodeInto(beginning, room).written;
  }

  /** Lets the next text begin where a hash can end. @returns its length then */
  fillUnit(): number {
    const length = UNIT * Math.ceil(this.#length / UNIT);
    this.#bytes.fill(0, this.#length, length);
    this.#length = length;
    return length;
  }

  /** @param conversationEnd a length that `fillUnit` has returned */
  hash(conversationEnd: number | null): Prefix {
    const hash = new WordHash(this.#words);
    const blocks: number[] = [];
    let conversation: number | null = null;
    let before = Infinity;
    for (const length of PREFIX_LENGTHS) {
      if (conversationEnd !== null && before <= conversationEnd && conversationEnd < length) {
        conversation = hash.ofFirst(conversationEnd / BYTES_PER_WORD);
      }
      if (length > this.#length) break;
      blocks.push(hash.ofFirst(length / BYTES_PER_WORD));
      before = length;
    }
    return { blocks, conversation };
  }
}
