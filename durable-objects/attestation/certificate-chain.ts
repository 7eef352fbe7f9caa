import {
  BASIC_CONSTRAINTS,
  EXTENDED_KEY_USAGE,
  KEY_USAGE,
  readCertificate,
  type Certificate,
} from "./certificate.ts";
import { equal, type Bytes } from "./der.ts";
import { importKey, isSigned } from "./ecdsa.ts";

/**
 * A device's certificate as Managed Device Attestation gives it: Apple signs, under its attestation root, what a genuine device
 * says of itself, together with a freshness code that the asking management server chose. Here that code has to be the SHA-256 of
 * the key that the machine signs with, so that nobody can show the certificate of another machine. See "Validating a Managed Device
 * Attestation" in Apple's Device Management documentation, and RFC 5280, 6.1, for the chain.
 *
 * The chain is taken as it comes, each certificate signed by the next: nothing is searched for, so nothing can lead astray or in
 * circles. It is checked from the root down, so a forger costs one signature more than the genuine certificates it brings.
 */

/** 1.2.840.113635.100.8.11.1, the freshness code in the device's certificate. */
const FRESHNESS_CODE = "2a864886f76364080b01";

/**
 * Critical extensions that may be present. Those about key usage need no check, because the devices' keys are not used here.
 */
const UNDERSTOOD = new Set([BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE, FRESHNESS_CODE]);

export interface ChainTerms {
  /** P-256 SPKI, DER: of the key whose signature was just verified. */
  readonly liveKey: Bytes;
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
  const trusted = readCertificate(root);
  if (trusted === null) throw new Error("the pinned root is not a certificate");
  const certificates = chain.map(readCertificate).filter((certificate) => certificate !== null);
  const [device] = certificates;
  if (device === undefined || certificates.length < chain.length) {
    return "its certificate chain is not made of X.509 certificates signed with ECDSA, DER in base64";
  }
  const code = device.extensions.get(FRESHNESS_CODE)?.value;
  if (code === undefined || !equal(code, await sha256(liveKey))) {
    return "its certificate was not made for its key: the freshness code is not the key's SHA-256";
  }
  const last = certificates.at(-1);
  const isRootBrought = last !== undefined && equal(last.signed, trusted.signed);
  const problem = await problemOfPath(isRootBrought ? certificates.slice(0, -1) : certificates, trusted, now);
  return problem === null
    ? null
    : `its certificate chain does not lead to Apple's attestation root: ${problem}`;
}

/** @param path each certificate before that of its issuer; the root is the last one's. */
async function problemOfPath(
  path: readonly Certificate[],
  root: Certificate,
  now: number,
): Promise<string | null> {
  let issuer = root;
  for (const [below, certificate] of [...path.entries()].toReversed()) {
    const problem = await problemOfLink(certificate, issuer, below, now);
    if (problem !== null) return `number ${below + 1} ${problem}`;
    issuer = certificate;
  }
  return null;
}

/** @param below how many certificates come before this one: the issuer's key stands above as many authorities. */
async function problemOfLink(
  certificate: Certificate,
  issuer: Certificate,
  below: number,
  now: number,
): Promise<string | null> {
  const { extensions, notBefore, notAfter } = certificate;
  if (!equal(certificate.issuer, issuer.subject)) return "was not issued by the next one's subject";
  if (issuer.pathLength === null || issuer.pathLength < below) return "was issued by somebody who may not";
  if (now < notBefore || now > notAfter) return "is not valid now";
  for (const [oid, { isCritical }] of extensions) {
    if (isCritical && !UNDERSTOOD.has(oid)) return "has a critical extension that is not understood";
  }
  return (await isSignedBy(certificate, issuer)) ? null : "has a signature that is not its issuer's";
}

async function isSignedBy({ signature, signed }: Certificate, issuer: Certificate): Promise<boolean> {
  const { curve, publicKey } = issuer;
  const { hash, r, s } = signature;
  if (curve === null || r.length > curve.size || s.length > curve.size) return false;
  const numbers = new Uint8Array(2 * curve.size);
  numbers.set(r, curve.size - r.length);
  numbers.set(s, 2 * curve.size - s.length);
  const key = await importKey(publicKey, curve.name);
  return key !== null && isSigned(signed, numbers, key, hash);
}

async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}
