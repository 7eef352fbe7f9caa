import { fromBase64 } from "./base64.ts";
import {
  bytesOfBits,
  contentOf,
  DerError,
  naturalOf,
  oidOf,
  partsOf,
  read,
  TAG,
  timeOf,
  type Bytes,
  type Value,
} from "./der.ts";
import type { CurveName, HashName } from "./ecdsa.ts";

/** X.509 certificates of version 3 (RFC 5280, 4.1), and of those only what Apple's attestation uses: keys and signatures of ECDSA. */

export interface Certificate {
  /** What its issuer has signed. */
  readonly signed: Bytes;
  readonly signature: Signature;
  /** Names, as they are encoded. */
  readonly issuer: Bytes;
  readonly subject: Bytes;
  /** The first and the last moment of its validity, ms since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SPKI. */
  readonly publicKey: Bytes;
  /** Null for a key of another kind. */
  readonly curve: Curve | null;
  /** How many authorities may stand between it and a device if it may sign certificates; null if it may not. */
  readonly pathLength: number | null;
  /** By object identifier in hexadecimal digits; none is there twice. */
  readonly extensions: ReadonlyMap<string, Extension>;
}

interface Signature {
  readonly hash: HashName;
  /** Whole numbers, without zeros in front. */
  readonly r: Bytes;
  readonly s: Bytes;
}

interface Curve {
  readonly name: CurveName;
  /** Of a coordinate, in bytes. */
  readonly size: number;
}

export interface Extension {
  readonly isCritical: boolean;
  readonly value: Bytes;
}

export const BASIC_CONSTRAINTS = "551d13";
export const KEY_USAGE = "551d0f";
export const EXTENDED_KEY_USAGE = "551d25";

/** ecdsa-with-SHA256 and ecdsa-with-SHA384. */
const HASHES: ReadonlyMap<string, HashName> = new Map([
  ["2a8648ce3d040302", "SHA-256"],
  ["2a8648ce3d040303", "SHA-384"],
]);

const EC_PUBLIC_KEY = "2a8648ce3d0201";

const CURVES: ReadonlyMap<string, Curve> = new Map([
  ["2a8648ce3d030107", { name: "P-256", size: 32 }],
  ["2b81040022", { name: "P-384", size: 48 }],
]);

/** @returns null if the text is not such a certificate, DER in base64. */
export function readCertificate(base64: string): Certificate | null {
  const der = fromBase64(base64);
  if (der === null) return null;
  try {
    return parse(der);
  } catch (error) {
    if (error instanceof DerError) return null;
    throw error;
  }
}

function parse(der: Bytes): Certificate {
  const [body, algorithm, bits] = partsOf(read(der));
  const [version, , innerAlgorithm, issuer, validity, subject, key, ...rest] = partsOf(body);
  const [notBefore, notAfter] = partsOf(validity);
  if (body === undefined || issuer === undefined || subject === undefined || key === undefined) {
    throw new DerError("a part is missing");
  }
  // Counted from 0.
  if (small(partsOf(version, TAG.explicit)[0]) !== 2) throw new DerError("not of version 3");
  const hash = hashOf(algorithm);
  if (hashOf(innerAlgorithm) !== hash) throw new DerError("two algorithms");
  const [r, s] = partsOf(read(bytesOfBits(bits)));
  const extensions = extensionsOf(rest.find(({ tag }) => tag === (TAG.explicit | 3)));
  return {
    signed: body.whole,
    signature: { hash, r: naturalOf(r), s: naturalOf(s) },
    issuer: issuer.whole,
    subject: subject.whole,
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    publicKey: key.whole,
    curve: curveOf(key),
    pathLength: pathLengthOf(extensions),
    extensions,
  };
}

function hashOf(algorithm: Value | undefined): HashName {
  const [oid, ...parameters] = partsOf(algorithm);
  const hash = HASHES.get(oidOf(oid));
  if (hash === undefined || parameters.length > 0) throw new DerError("not signed with ECDSA");
  return hash;
}

function curveOf(key: Value): Curve | null {
  const [algorithm] = partsOf(key);
  const [kind, curve] = partsOf(algorithm);
  if (oidOf(kind) !== EC_PUBLIC_KEY || curve?.tag !== TAG.oid) return null;
  return CURVES.get(oidOf(curve)) ?? null;
}

function extensionsOf(field: Value | undefined): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>();
  if (field === undefined) return found;
  for (const extension of partsOf(partsOf(field, field.tag)[0])) {
    const [oid, ...rest] = partsOf(extension);
    const isCritical = rest.length > 1 && isTrue(rest[0]);
    const name = oidOf(oid);
    if (found.has(name)) throw new DerError("an extension that is there twice");
    found.set(name, { isCritical, value: contentOf(rest.at(-1), TAG.octetString) });
  }
  return found;
}

/** RFC 5280, 6.1.4, k to n. */
function pathLengthOf(extensions: Certificate["extensions"]): number | null {
  const constraints = extensions.get(BASIC_CONSTRAINTS);
  const usage = extensions.get(KEY_USAGE);
  if (constraints === undefined || (usage !== undefined && !signsCertificates(usage.value))) return null;
  const [isAuthority, length] = partsOf(read(constraints.value));
  if (isAuthority === undefined || !isTrue(isAuthority)) return null;
  return length === undefined ? Infinity : small(length);
}

function isTrue(value: Value | undefined): boolean {
  return contentOf(value, TAG.boolean)[0] === 0xff;
}

function small(value: Value | undefined): number {
  const bytes = naturalOf(value);
  if (bytes.length > 1) throw new DerError("a large number");
  return bytes[0] ?? 0;
}

/** Bit 5, from the left. */
function signsCertificates(usage: Bytes): boolean {
  const [, bits = 0] = contentOf(read(usage), TAG.bitString);
  return (bits & 0x04) !== 0;
}
