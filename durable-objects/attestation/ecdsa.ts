import type { Bytes } from "./der.ts";

export type CurveName = "P-256" | "P-384";
export type HashName = "SHA-256" | "SHA-384";

/** @param spki DER. @returns null if that is no key of the curve. */
export async function importKey(spki: Bytes, namedCurve: CurveName): Promise<CryptoKey | null> {
  try {
    return await crypto.subtle.importKey("spki", spki, { name: "ECDSA", namedCurve }, false, ["verify"]);
  } catch {
    return null;
  }
}

/** @param signature r and s, each as long as a coordinate of the key's curve. Any other length is a wrong signature. */
export function isSigned(
  text: Uint8Array,
  signature: Bytes,
  key: CryptoKey,
  hash: HashName,
): Promise<boolean> {
  return crypto.subtle.verify({ name: "ECDSA", hash }, key, signature, text);
}
