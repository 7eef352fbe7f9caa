import type { Proof, ProofVerdict } from "../../core/pool/attestation.ts";
import { attestedText } from "../../protocol/attestation.ts";
import { APPLE_ATTESTATION_ROOT } from "./apple-root.ts";
import { fromBase64 } from "./base64.ts";
import { problemOfChain } from "./certificate-chain.ts";
import { importKey, isSigned } from "./ecdsa.ts";

/**
 * What an answer to a challenge proves: `self_signed` that the machine holds its key, and `hardware` that one of Apple's
 * devices vouches for that very key as well.
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
  const key = spki === null ? null : await importKey(spki, "P-256");
  if (spki === null || key === null) {
    return { level: "none", problem: "the key it registered with is not a P-256 key (SPKI, base64)" };
  }
  const signature = fromBase64(proof.signature);
  const text = new TextEncoder().encode(attestedText(proof.nonce, proof.issuedAt, proof.status));
  if (signature === null || !(await isSigned(text, signature, key, "SHA-256"))) {
    return { level: "none", problem: "its signature does not fit the challenge and its key" };
  }
  const chain = proof.certificate_chain ?? [];
  if (chain.length === 0) return { level: "self_signed", problem: null };
  const problem = await problemOfChain(chain, { liveKey: spki, root, now });
  return problem === null ? { level: "hardware", problem } : { level: "self_signed", problem };
}
