/**
 * Distinguished Encoding Rules (X.690), as much of them as certificates need. Encodings that only the wider Basic rules allow
 * are refused, so that a value is read in one way only, as its signer wrote it. Parsing does not recurse: callers ask for the
 * parts that they know, so that no input can cost more than one read of each byte.
 */

export type Bytes = Uint8Array<ArrayBuffer>;

export interface Value {
  /** The first byte: class, whether it has parts, and number. */
  readonly tag: number;
  readonly content: Bytes;
  /** With tag and length. */
  readonly whole: Bytes;
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  /** `[3]` and the like, with parts. */
  explicit: 0xa0,
} as const;

/** Bytes that are not what was looked for. */
export class DerError extends Error {}

/** @throws DerError unless the bytes are one value and nothing else. */
export function read(bytes: Bytes): Value {
  const [value, ...others] = values(bytes);
  if (value === undefined || others.length > 0) throw new DerError("not one value");
  return value;
}

/** @throws DerError unless it is there and has the tag. */
export function contentOf(value: Value | undefined, tag: number): Bytes {
  if (value?.tag !== tag) throw new DerError(`not of tag ${tag}`);
  return value.content;
}

/** @throws DerError unless it is there and a sequence. */
export function partsOf(value: Value | undefined, tag: number = TAG.sequence): Value[] {
  return values(contentOf(value, tag));
}

/** @throws DerError unless it is there and an object identifier. @returns its bytes in hexadecimal digits. */
export function oidOf(value: Value | undefined): string {
  return Array.from(contentOf(value, TAG.oid), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @throws DerError unless it is there and a whole number from 0 up. @returns its bytes, without zeros in front. */
export function naturalOf(value: Value | undefined): Bytes {
  const bytes = contentOf(value, TAG.integer);
  const [first, second] = bytes;
  if (first === undefined || first >= 0x80) throw new DerError("below zero");
  if (first !== 0) return bytes;
  if (second !== undefined && second < 0x80) throw new DerError("a number with a zero too many");
  return bytes.subarray(1);
}

/** @throws DerError unless it is there and a string of whole bytes. */
export function bytesOfBits(value: Value | undefined): Bytes {
  const content = contentOf(value, TAG.bitString);
  if (content[0] !== 0) throw new DerError("bits, not bytes");
  return content.subarray(1);
}

/** @throws DerError unless it is there and a point in time. @returns ms since the epoch. */
export function timeOf(value: Value | undefined): number {
  const isShort = value?.tag === TAG.utcTime;
  const text = new TextDecoder().decode(contentOf(value, isShort ? TAG.utcTime : TAG.generalizedTime));
  // RFC 5280, 4.1.2.5.1
  const full = isShort ? `${text < "5" ? "20" : "19"}${text}` : text;
  const at = Date.parse(full.replace(TIME, "$1-$2-$3T$4:$5:$6Z"));
  if (!TIME.test(full) || Number.isNaN(at)) throw new DerError("no time");
  return at;
}

const TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

export function equal(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function values(bytes: Bytes): Value[] {
  const found: Value[] = [];
  for (let rest = bytes; rest.length > 0;) {
    const value = firstOf(rest);
    found.push(value);
    rest = rest.subarray(value.whole.length);
  }
  return found;
}

function firstOf(bytes: Bytes): Value {
  const [tag = 0, short] = bytes;
  // Tags of more than one byte are in no certificate.
  if (short === undefined || (tag & 0x1f) === 0x1f) throw new DerError("no value");
  const lengthBytes = short < 0x80 ? 0 : short & 0x7f;
  // The longest certificates that the wire lets through need two; none (0x80) would be an indefinite length.
  if (short === 0x80 || lengthBytes > 2) throw new DerError("too long");
  const from = 2 + lengthBytes;
  const length =
    lengthBytes === 0 ? short : bytes.subarray(2, from).reduce((sum, byte) => sum * 256 + byte, 0);
  if (lengthBytes > 0 && length < (lengthBytes === 1 ? 0x80 : 0x100)) throw new DerError("a long length");
  if (bytes.length < from + length) throw new DerError("cut off");
  return { tag, content: bytes.subarray(from, from + length), whole: bytes.subarray(0, from + length) };
}
