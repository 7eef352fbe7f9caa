/** A fast, non-cryptographic hash of text, modelled on FNV-1a. */

export const HASH_START = 0x811c9dc5;
const PRIME = 0x01000193;

/** 32 bits, unsigned. */
export function hashOf(text: string): number {
  return hashOn(HASH_START, text) >>> 0;
}

/**
 * Continues a hash with the next part of a text; 32 bits, signed. It takes four characters at a time, which is three times as
 * fast, so the same text has the same hash only if it is cut at the same positions.
 */
export function hashOn(before: number, text: string, from = 0, to = text.length): number {
  let hash = before;
  let i = from;
  for (; i + 3 < to; i += 4) {
    const four =
      text.charCodeAt(i) ^
      (text.charCodeAt(i + 1) << 8) ^
      (text.charCodeAt(i + 2) << 16) ^
      (text.charCodeAt(i + 3) << 24);
    hash = Math.imul(hash ^ four, PRIME);
  }
  for (; i < to; i++) hash = Math.imul(hash ^ text.charCodeAt(i), PRIME);
  return hash ^ (hash >>> 15);
}

export const BYTES_PER_WORD = 4;

/** Hashes of ever longer beginnings of the same words, 32 bits each, by the steps of MurmurHash3. */
export class WordHash {
  readonly #words: Int32Array;
  #at = 0;
  /** Every other word goes into the second, since a processor does both at once. */
  #first = HASH_START;
  #second = ~HASH_START;

  constructor(words: Int32Array) {
    this.#words = words;
  }

  /** @param count even, and not smaller than the last one. */
  ofFirst(count: number): number {
    const words = this.#words;
    let first = this.#first;
    let second = this.#second;
    for (let i = this.#at; i < count; i += 2) {
      first = withWord(first, words[i] ?? 0);
      second = withWord(second, words[i + 1] ?? 0);
    }
    this.#at = count;
    this.#first = first;
    this.#second = second;
    return spread(withWord(first, second));
  }
}

function withWord(hash: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51);
  const mixed = hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** So that each bit tells in all of the others. */
function spread(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35);
  return (twice ^ (twice >>> 16)) >>> 0;
}
