import { CACHE_KEYS_PER_MACHINE } from "../limits.ts";
import { hashOf } from "../text-hash.ts";
import type { RequestSpec } from "./request.ts";

/**
 * An LRU list of the cache keys under which one machine has answered: hashes of the `prompt_cache_key` that a client sent, of
 * how a conversation began, or of both. Prompts of one key begin alike: as a rule they are the turns of one conversation. So
 * the machine should have as much of the next prompt cached as the last one was long, also where the blocks of
 * `core/prefix.ts` are too coarse to tell one conversation from another. Only the machine knows what it really has cached; each
 * answer reports it, and the key is believed in proportion.
 */

/** Share of a new answer in what a key is believed: after three prompts that begin differently it counts for an eighth. */
const WEIGHT = 0.5;

/** What keys are believed before the first answer, by their place among those of a request: one conversation, and several. */
const FIRST_SHARES = [1, 0.5];

/** By whom a request was sent, and under which of its keys. */
export type Keyed = Pick<RequestSpec, "keyId" | "cacheKeys">;

interface Held {
  /**
   * Of the API key's id: cache keys of two may have the same hash, and what one has sent tells nothing of the other's. The id
   * itself is a slice of the call's header, all of which it would keep in memory.
   */
  readonly keyIdHash: number;
  /** Of the last prompt. */
  readonly tokens: number;
  readonly hitShare: number;
}

export class CacheKeys {
  /** Made with the first key: most machines may never see one. */
  #held: Map<number, Held> | null = null;

  /** Tokens at the beginning of a prompt of so many that the machine should not have to read again. */
  expectedTokens(keyed: Keyed, promptTokens: number): number {
    const held = this.#closest(keyed);
    return held === null ? 0 : Math.min(held.tokens, promptTokens) * held.hitShare;
  }

  /** The hashes of all keys. */
  all(): Iterable<number> {
    return this.#held?.keys() ?? [];
  }

  /**
   * The machine has answered a prompt of so many tokens.
   * @param cachedTokens it had of it; null if it does not say.
   * @returns hashes that were not known before, and those that are forgotten for them.
   */
  learn(
    keyed: Keyed,
    promptTokens: number,
    cachedTokens: number | null,
  ): { added: number[]; forgotten: number[] } {
    const added: number[] = [];
    const forgotten: number[] = [];
    const { keyId, cacheKeys } = keyed;
    if (cacheKeys.length === 0) return { added, forgotten };
    const believed = this.#closest(keyed);
    const held = (this.#held ??= new Map<number, Held>());
    for (const [place, cacheKey] of cacheKeys.entries()) {
      const before = this.#find(keyId, cacheKey);
      let hitShare = before?.hitShare ?? FIRST_SHARES[place] ?? 0;
      if (before !== null && before === believed)
        hitShare = hitShareAfter(before, promptTokens, cachedTokens);
      if (!held.delete(cacheKey)) added.push(cacheKey);
      held.set(cacheKey, { keyIdHash: hashOf(keyId), tokens: promptTokens, hitShare });
    }
    for (const oldest of held.keys()) {
      if (held.size <= CACHE_KEYS_PER_MACHINE) break;
      held.delete(oldest);
      forgotten.push(oldest);
    }
    return { added, forgotten };
  }

  /** Its memory is empty again. */
  clear(): void {
    this.#held = null;
  }

  /** Of the first of its keys that the machine knows. */
  #closest({ keyId, cacheKeys }: Keyed): Held | null {
    for (const cacheKey of cacheKeys) {
      const held = this.#find(keyId, cacheKey);
      if (held !== null) return held;
    }
    return null;
  }

  #find(keyId: string, cacheKey: number): Held | null {
    const held = this.#held?.get(cacheKey);
    return held?.keyIdHash === hashOf(keyId) ? held : null;
  }
}

function hitShareAfter(
  { tokens, hitShare }: Held,
  promptTokens: number,
  cachedTokens: number | null,
): number {
  const expected = Math.min(tokens, promptTokens);
  if (cachedTokens === null || expected === 0) return hitShare;
  return hitShare + WEIGHT * (Math.min(1, cachedTokens / expected) - hitShare);
}
