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
  /** Of an authority: how many others may stand between it and a device. */
  readonly pathLength?: number;
  /** Whether an authority's key may sign certificates. */
  readonly signs?: boolean;
  /** Value of the freshness code, if it has one. */
  readonly freshness?: Uint8Array<ArrayBuffer>;
  readonly extensions?: readonly Extension[];
  readonly keys?: KeyPair;
  readonly hash?: string;
  /** Counted from 0. */
  readonly version?: number;
  /** ms since the epoch. */
  readonly from?: number;
  readonly to?: number;
}

export const NOW = Date.UTC(2026, 10, 1);
const DAY = 86_400_000;
const COMMON_NAME = "2.5.4.3";
export const FRESHNESS_CODE = "1.2.840.113635.100.8.11.1";
let serial = 0;

const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength: 2048,
  publicExponent: Uint8Array.of(1, 0, 1),
};

export async function newKeys(kind: "P-256" | "P-384" | "P-521" | "RSA" = "P-384"): Promise<KeyPair> {
  const algorithm = kind === "RSA" ? RSA : { name: "ECDSA", namedCurve: kind };
  const made = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  if ("privateKey" in made) return made;
  throw new Error("one key, where a pair was asked for");
}

export async function issue({ name, issuer, ...wish }: Wish): Promise<Issued> {
  const keys = wish.keys ?? (await newKeys());
  const certificate = new Certificate();
  certificate.version = wish.version ?? 2;
  certificate.serialNumber = new Integer({ value: ++serial });
  addName(certificate.subject, name);
  if (issuer === null) addName(certificate.issuer, name);
  else certificate.issuer = issuer.certificate.subject;
  certificate.notBefore.value = new Date(wish.from ?? NOW - DAY);
  certificate.notAfter.value = new Date(wish.to ?? NOW + DAY);
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey);
  certificate.extensions = extensionsOf(wish);
  await certificate.sign((issuer?.keys ?? keys).privateKey, wish.hash ?? "SHA-384");
  return { certificate, keys, text: base64(certificate.toSchema(true).toBER()) };
}

/** The same subject and key, vouched for by another. */
export async function vouchedFor({ certificate, keys }: Issued, issuer: Issued): Promise<Issued> {
  const copy = Certificate.fromBER(certificate.toSchema(true).toBER());
  copy.issuer = issuer.certificate.subject;
  await copy.sign(issuer.keys.privateKey, "SHA-384");
  return { certificate: copy, keys, text: base64(copy.toSchema(true).toBER()) };
}

export function base64(bytes: ArrayBuffer | Uint8Array): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)));
}

function extensionsOf({
  isAuthority = false,
  pathLength,
  signs,
  freshness,
  extensions,
}: Partial<Wish>): Extension[] {
  const constraints = {
    cA: isAuthority,
    ...(pathLength === undefined ? {} : { pathLenConstraint: pathLength }),
  };
  return [
    extension("2.5.29.19", new BasicConstraints(constraints).toSchema().toBER(), true),
    // An authority may sign certificates and lists of revoked ones, a device anything else.
    extension("2.5.29.15", ((signs ?? isAuthority) ? bits(0x06, 1) : bits(0x80, 7)).toBER(), true),
    ...(freshness === undefined ? [] : [extension(FRESHNESS_CODE, freshness.buffer, false)]),
    ...(extensions ?? []),
  ];
}

export function extension(extnID: string, value: ArrayBuffer, critical: boolean): Extension {
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
