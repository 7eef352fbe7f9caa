import { BitString, Integer, OctetString, PrintableString } from "asn1js";
import {
  AttributeTypeAndValue,
  BasicConstraints,
  Certificate,
  Extension,
  type RelativeDistinguishedNames,
} from "pkijs";

/** Certificates as Apple's attestation service would make them, under a root of the tests' own. */

/** Each of the two platforms has its own name for it. */
export type KeyPair = Extract<Awaited<ReturnType<typeof crypto.subtle.generateKey>>, { publicKey: unknown }>;

export interface Issued {
  readonly certificate: Certificate;
  readonly keys: KeyPair;
  /** DER in base64. */
  readonly text: string;
}

export interface Wish {
  readonly name: string;
  /** Null for a root. */
  readonly issuer: Issued | null;
  readonly isAuthority?: boolean;
  /** Value of the freshness code, if it has one. */
  readonly freshness?: Uint8Array<ArrayBuffer>;
  /** ms since the epoch. */
  readonly from?: number;
  readonly to?: number;
}

export const NOW = Date.UTC(2026, 10, 1);
const DAY = 86_400_000;
const COMMON_NAME = "2.5.4.3";
const FRESHNESS_CODE = "1.2.840.113635.100.8.11.1";
let serial = 0;

export async function newKeys(namedCurve = "P-384"): Promise<KeyPair> {
  const made = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve }, true, ["sign", "verify"]);
  if ("privateKey" in made) return made;
  throw new Error("one key, where a pair was asked for");
}

export async function issue({ name, issuer, ...wish }: Wish): Promise<Issued> {
  const keys = await newKeys();
  const certificate = new Certificate();
  certificate.version = 2;
  certificate.serialNumber = new Integer({ value: ++serial });
  addName(certificate.subject, name);
  if (issuer === null) addName(certificate.issuer, name);
  else certificate.issuer = issuer.certificate.subject;
  certificate.notBefore.value = new Date(wish.from ?? NOW - DAY);
  certificate.notAfter.value = new Date(wish.to ?? NOW + DAY);
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey);
  certificate.extensions = extensionsOf(wish);
  await certificate.sign((issuer?.keys ?? keys).privateKey, "SHA-384");
  return { certificate, keys, text: base64(certificate.toSchema(true).toBER()) };
}

export function base64(bytes: ArrayBuffer | Uint8Array): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)));
}

function extensionsOf({ isAuthority = false, freshness }: Partial<Wish>): Extension[] {
  const extensions = [
    extension("2.5.29.19", new BasicConstraints({ cA: isAuthority }).toSchema().toBER(), true),
    // An authority may sign certificates and lists of revoked ones, a device anything else.
    extension("2.5.29.15", bits(isAuthority ? 0x06 : 0x80, isAuthority ? 1 : 7).toBER(), true),
  ];
  if (freshness !== undefined) extensions.push(extension(FRESHNESS_CODE, freshness.buffer, false));
  return extensions;
}

function extension(extnID: string, value: ArrayBuffer, critical: boolean): Extension {
  const extnValue = new OctetString({ valueHex: value }).valueBlock.toBER();
  return new Extension({ extnID, critical, extnValue });
}

function bits(byte: number, unusedBits: number): BitString {
  return new BitString({ valueHex: Uint8Array.of(byte).buffer, unusedBits });
}

function addName({ typesAndValues }: RelativeDistinguishedNames, name: string): void {
  const value = new PrintableString({ value: name });
  typesAndValues.push(new AttributeTypeAndValue({ type: COMMON_NAME, value }));
}
