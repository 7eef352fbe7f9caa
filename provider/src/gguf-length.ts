import { readSync } from "node:fs";

/**
 * How long a GGUF file has to be, by the list of tensors at its beginning. A copy that broke off begins like a model, and the
 * engine would find out only once the machine is in the pool and requests wait for it.
 *
 * The list is read no further than needed, and what is not understood ends it: only the engine can judge that.
 */

/** Far above the largest vocabulary; a damaged count must not be believed for a hundred GB. */
const MAX_LIST_BYTES = 256 * 2 ** 20;
const WINDOW_BYTES = 2 ** 18;
const HEADER_BYTES = 24;
const DEFAULT_ALIGNMENT = 32;
const MAX_DIMENSIONS = 8;

const UINT32 = 4;
const STRING = 8;
const ARRAY = 9;
/** Bytes of a value of each type; those of strings and arrays say it themselves. */
const BYTES_OF_VALUE = [1, 1, 2, 2, 4, 4, 4, 1, null, null, 8, 8, 8];

/** Of the commonest types of tensors: numbers in a block, and its bytes. Of the others the first byte has to be there. */
const BLOCKS: ReadonlyMap<number, readonly [number, number]> = new Map([
  [0, [1, 4]], // F32
  [1, [1, 2]], // F16
  [2, [32, 18]], // Q4_0
  [3, [32, 20]], // Q4_1
  [6, [32, 22]], // Q5_0
  [7, [32, 24]], // Q5_1
  [8, [32, 34]], // Q8_0
  [10, [256, 84]], // Q2_K
  [11, [256, 110]], // Q3_K
  [12, [256, 144]], // Q4_K
  [13, [256, 176]], // Q5_K
  [14, [256, 210]], // Q6_K
  [20, [32, 18]], // IQ4_NL
  [23, [256, 136]], // IQ4_XS
  [30, [1, 2]], // BF16
  [39, [32, 17]], // MXFP4
]);

/**
 * @param file open for reading; its first bytes are known to be those of a GGUF.
 * @param size of the file, in bytes.
 * @returns in bytes, at least: where its last tensor ends or, if it ends before that is said, what was to be read next. 0 if
 *   the file cannot be judged.
 */
export function leastLength(file: number, size: number): number {
  const reader = new Reader(file, size);
  try {
    return endOfTensors(reader);
  } catch (cause) {
    if (cause instanceof CutOff) return cause.needed;
    if (cause instanceof NotUnderstood) return 0;
    throw cause;
  }
}

class CutOff extends Error {
  readonly needed: number;

  constructor(needed: number) {
    super("the file ends here");
    this.needed = needed;
  }
}

class NotUnderstood extends Error {}

function endOfTensors(reader: Reader): number {
  const header = reader.take(HEADER_BYTES);
  const version = header.readUInt32LE(4);
  if (version !== 2 && version !== 3) throw new NotUnderstood();
  const tensors = header.readBigUInt64LE(8);
  const keys = header.readBigUInt64LE(16);
  let alignment = DEFAULT_ALIGNMENT;
  for (let key = 0n; key < keys; key += 1n) {
    const name = reader.text();
    const type = reader.uint32();
    if (name === "general.alignment" && type === UINT32) alignment = reader.uint32();
    else skipValue(reader, type, 0);
  }
  if (alignment === 0) throw new NotUnderstood();
  let last = 0;
  for (let tensor = 0n; tensor < tensors; tensor += 1n) last = Math.max(last, endOfNextTensor(reader));
  return last === 0 ? reader.position : Math.ceil(reader.position / alignment) * alignment + last;
}

/** From where the tensors begin, in bytes. */
function endOfNextTensor(reader: Reader): number {
  reader.text();
  const dimensions = reader.uint32();
  if (dimensions > MAX_DIMENSIONS) throw new NotUnderstood();
  let numbers = 1;
  for (let dimension = 0; dimension < dimensions; dimension += 1) numbers *= reader.uint64();
  const block = BLOCKS.get(reader.uint32());
  const begin = reader.uint64();
  if (numbers === 0) return begin;
  return block === undefined ? begin + 1 : begin + Math.ceil(numbers / block[0]) * block[1];
}

function skipValue(reader: Reader, type: number, depth: number): void {
  if (type === STRING) {
    reader.skip(reader.uint64());
    return;
  }
  if (type !== ARRAY) {
    reader.skip(bytesOf(type));
    return;
  }
  const inner = reader.uint32();
  const count = reader.uint64();
  if (inner !== STRING && inner !== ARRAY) {
    reader.skip(count * bytesOf(inner));
    return;
  }
  if (depth > 1) throw new NotUnderstood();
  for (let index = 0; index < count; index += 1) skipValue(reader, inner, depth + 1);
}

function bytesOf(type: number): number {
  const bytes = BYTES_OF_VALUE[type] ?? null;
  if (bytes === null) throw new NotUnderstood();
  return bytes;
}

/** Goes through a file from its beginning, a window at a time. */
class Reader {
  readonly #file: number;
  readonly #size: number;
  readonly #window = Buffer.alloc(WINDOW_BYTES);
  #windowAt = 0;
  #windowLength = 0;
  position = 0;

  constructor(file: number, size: number) {
    this.#file = file;
    this.#size = size;
  }

  skip(bytes: number): void {
    const end = this.position + bytes;
    if (end > this.#size) throw new CutOff(end);
    if (end > MAX_LIST_BYTES) throw new NotUnderstood();
    this.position = end;
  }

  /** Good until the next call. @param bytes at most a window. */
  take(bytes: number): Buffer {
    const from = this.position;
    this.skip(bytes);
    if (from < this.#windowAt || from + bytes > this.#windowAt + this.#windowLength) {
      this.#windowAt = from;
      this.#windowLength = readSync(this.#file, this.#window, 0, WINDOW_BYTES, from);
      if (this.#windowLength < bytes) throw new CutOff(from + bytes);
    }
    return this.#window.subarray(from - this.#windowAt, from - this.#windowAt + bytes);
  }

  uint32(): number {
    return this.take(4).readUInt32LE();
  }

  uint64(): number {
    return Number(this.take(8).readBigUInt64LE());
  }

  text(): string {
    const bytes = this.uint64();
    if (bytes > WINDOW_BYTES) throw new NotUnderstood();
    return this.take(bytes).toString("latin1");
  }
}
