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
