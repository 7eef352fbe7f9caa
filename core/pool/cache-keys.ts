import { CACHE_KEYS_PER_MACHINE } from "../limits.ts";
import { hashOf } from "../text-hash.ts";
import type { RequestSpec } from "./request.ts";

/**
 * An LRU list of the cache keys (`prompt_cache_key`) under which one machine has answered. Prompts of one key begin alike: as a
 * rule they are the turns of one conversation. So the machine should have as much of the next prompt cached as the last one
 * was long, also where the blocks of `core/prefix.ts` are too coarse to tell one conversation from another. Only the machine
 * knows what it really has cached; each answer reports it, and the key is believed in proportion.
 */

/** Share of a new answer in what a key is believed: after three prompts that begin differently it counts for an eighth. */
const WEIGHT = 0.5;

/** By whom a request was sent, and under which of its keys. */
export type Keyed = Pick<RequestSpec, "keyId" | "cacheKey">;

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
    const held = this.#find(keyed);
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
    const { keyId, cacheKey } = keyed;
    if (cacheKey === null) return { added: [], forgotten: [] };
    const before = this.#find(keyed);
    const hitShare = before === null ? 1 : hitShareAfter(before, promptTokens, cachedTokens);
    const held = (this.#held ??= new Map<number, Held>());
    const added = held.delete(cacheKey) ? [] : [cacheKey];
    held.set(cacheKey, { keyIdHash: hashOf(keyId), tokens: promptTokens, hitShare });
    const forgotten: number[] = [];
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

  #find({ keyId, cacheKey }: Keyed): Held | null {
    if (cacheKey === null || this.#held === null) return null;
    const held = this.#held.get(cacheKey);
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
