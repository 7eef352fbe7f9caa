import { Certificate, CertificateChainValidationEngine } from "pkijs";

import { fromBase64 } from "./base64.ts";

/**
 * A device's certificate as Managed Device Attestation gives it: Apple signs, under its attestation root, what a genuine device
 * says of itself, together with a freshness code that the asking management server chose. Here that code has to be the SHA-256 of
 * the key that the machine signs with, so that nobody can show the certificate of another Mac. See "Validating a Managed Device
 * Attestation" in Apple's Device Management documentation, and RFC 5280 for the chain.
 */

/** The freshness code in the device's certificate. */
const FRESHNESS_CODE = "1.2.840.113635.100.8.11.1";

export interface ChainTerms {
  /** P-256 SPKI, DER: of the key whose signature was just verified. */
  readonly liveKey: Uint8Array<ArrayBuffer>;
  /** DER in base64. */
  readonly root: string;
  /** ms since the epoch. */
  readonly now: number;
}

/** @returns what is wrong with the chain, DER in base64 with the device's certificate first; null if it proves the key. */
export async function problemOfChain(
  chain: readonly string[],
  { liveKey, root, now }: ChainTerms,
): Promise<string | null> {
  const certificates = chain.map(parse);
  const trusted = parse(root);
  if (trusted === null) throw new Error("the pinned root is not a certificate");
  const [device] = certificates;
  if (device == null || !certificates.every((certificate) => certificate !== null)) {
    return "its certificate chain is not DER in base64";
  }
  if (!equal(freshnessOf(device), new Uint8Array(await crypto.subtle.digest("SHA-256", liveKey)))) {
    return "its certificate was not made for its key: the freshness code is not the key's SHA-256";
  }
  const engine = new CertificateChainValidationEngine({
    trustedCerts: [trusted],
    // The one to be proven goes last here.
    certs: certificates.toReversed(),
    checkDate: new Date(now),
  });
  const { result, resultMessage } = await engine.verify();
  if (!result) return `its certificate chain does not lead to Apple's attestation root: ${resultMessage}`;
  return null;
}

function parse(base64: string): Certificate | null {
  const der = fromBase64(base64);
  try {
    return der === null ? null : Certificate.fromBER(der);
  } catch {
    return null;
  }
}

function freshnessOf(device: Certificate): Uint8Array {
  const extension = device.extensions?.find(({ extnID }) => extnID === FRESHNESS_CODE);
  return extension?.extnValue.valueBlock.valueHexView ?? new Uint8Array();
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
