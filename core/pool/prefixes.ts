import { BYTES_PER_TOKEN, PREFIXES_PER_MACHINE } from "../limits.ts";
import { PREFIX_LENGTHS } from "../prefix.ts";

/**
 * An LRU list of the prompt prefixes that one machine has processed and may still have in its KV cache, as hashes. Only the
 * machine knows what it really has cached; each answer reports it, and if less was cached than expected, expectations are
 * reduced in proportion.
 */

/** Share of a new answer in the share of hits. */
const WEIGHT = 0.2;

export class Prefixes {
  /** Made with the first answer: a pool that wakes has thousands of machines, and most of them have read nothing. */
  #read: Set<number> | null = null;
  #hitShare = 1;

  /** Tokens at the beginning of a prompt that the machine should not have to read again. */
  expectedTokens(prefix: readonly number[]): number {
    return this.#matchedTokens(prefix) * this.#hitShare;
  }

  has(hash: number): boolean {
    return this.#read?.has(hash) === true;
  }

  /** The hashes of all that it has read. */
  all(): Iterable<number> {
    return this.#read ?? [];
  }

  /**
   * The machine has answered a prompt.
   * @param cachedTokens it had of it; null if it does not say.
   * @returns hashes that were not known before, and those that are forgotten for them.
   */
  learn(prefix: readonly number[], cachedTokens: number | null): { added: number[]; forgotten: number[] } {
    const matched = this.#matchedTokens(prefix);
    if (matched > 0 && cachedTokens !== null) {
      this.#hitShare += WEIGHT * (Math.min(1, cachedTokens / matched) - this.#hitShare);
    }
    // The shortest last, so that of one prompt the longest is forgotten first.
    const read = (this.#read ??= new Set());
    const added: number[] = [];
    for (const hash of prefix.toReversed()) {
      if (!read.delete(hash)) added.push(hash);
      read.add(hash);
    }
    const forgotten: number[] = [];
    for (const oldest of read) {
      if (read.size <= PREFIXES_PER_MACHINE) break;
      read.delete(oldest);
      forgotten.push(oldest);
    }
    return { added, forgotten };
  }

  /** Its memory is empty again. */
  clear(): void {
    this.#read = null;
  }

  #matchedTokens(prefix: readonly number[]): number {
    const read = this.#read;
    const [first] = prefix;
    if (read === null || first === undefined || !read.has(first)) return 0;
    let known = 1;
    let beyond = prefix.length;
    while (known < beyond) {
      const middle = (known + beyond + 1) >> 1;
      if (read.has(prefix[middle - 1] ?? 0)) known = middle;
      else beyond = middle - 1;
    }
    return (PREFIX_LENGTHS[known - 1] ?? 0) / BYTES_PER_TOKEN;
  }
}
