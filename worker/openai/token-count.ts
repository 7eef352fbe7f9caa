import { BYTES_PER_TOKEN } from "../../core/limits.ts";

/**
 * About how many tokens the prompt of a chat takes. Only machines have tokenizers, so it is told from the length.
 * @param text of the request as a machine would be sent it.
 */
export function estimateTokens(text: string): number {
  return Math.ceil(new TextEncoder().encode(text).byteLength / BYTES_PER_TOKEN);
}
