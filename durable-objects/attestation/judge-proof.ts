import type { Proof, ProofVerdict } from "../../core/pool/attestation.ts";
import { attestedText } from "../../protocol/attestation.ts";
import { APPLE_ATTESTATION_ROOT } from "./apple-root.ts";
import { fromBase64 } from "./base64.ts";

const P256 = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" };

/**
 * What an answer to a challenge proves: `self_signed` that the machine holds its key, and `hardware` that Apple has attested that
 * very key on one of its devices as well.
 *
 * @param now ms since the epoch, at which certificates have to be valid.
 * @param root DER in base64; tests have their own.
 */
export async function judgeProof(
  proof: Proof,
  now: number,
  root = APPLE_ATTESTATION_ROOT,
): Promise<ProofVerdict> {
  const spki = fromBase64(proof.publicKey);
  const key = spki === null ? null : await importKey(spki);
  if (spki === null || key === null) {
    return { level: "none", problem: "the key it registered with is not a P-256 key (SPKI, base64)" };
  }
  const signature = fromBase64(proof.signature);
  const text = new TextEncoder().encode(attestedText(proof.nonce, proof.issuedAt, proof.status));
  if (signature === null || !(await crypto.subtle.verify(SIGNATURE, key, signature, text))) {
    return { level: "none", problem: "its signature does not fit the challenge and its key" };
  }
  const chain = proof.certificate_chain ?? [];
  if (chain.length === 0) return { level: "self_signed", problem: null };
  // The library is only read where a machine has certificates.
  const { problemOfChain } = await import("./certificate-chain.ts");
  const problem = await problemOfChain(chain, { liveKey: spki, root, now });
  return problem === null ? { level: "hardware", problem } : { level: "self_signed", problem };
}

async function importKey(spki: Uint8Array<ArrayBuffer>): Promise<CryptoKey | null> {
  try {
    return await crypto.subtle.importKey("spki", spki, P256, false, ["verify"]);
  } catch {
    return null;
  }
}
