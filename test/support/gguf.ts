import { readFileSync } from "node:fs";

/** Writes model files that differ from another one in what they say of themselves. */

const ALIGNMENT = 32;
/** Magic, version, number of tensors, number of keys. */
const HEADER_BYTES = 24;

const TYPE = { uint32: 4, bool: 7, string: 8, array: 9 } as const;
const SIZE_OF_TYPE = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/** A GGUF file's bytes with more keys: numbers without a sign, or yes and no. */
export function withKeys(path: string, added: Readonly<Record<string, number | boolean>>): Buffer {
  const file = readFileSync(path);
  const keys = Object.entries(added).map(([name, value]) => encodeKey(name, value));
  const infoEnd = endOfTensorInfo(file);
  const header = Buffer.from(file.subarray(0, HEADER_BYTES));
  header.writeBigUInt64LE(header.readBigUInt64LE(16) + BigInt(keys.length), 16);
  const info = Buffer.concat([header, ...keys, file.subarray(HEADER_BYTES, infoEnd)]);
  // Tensors are found by their distance from the first one, which begins at the next multiple.
  return Buffer.concat([
    info,
    Buffer.alloc(aligned(info.length) - info.length),
    file.subarray(aligned(infoEnd)),
  ]);
}

function aligned(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
}

function encodeKey(name: string, value: number | boolean): Buffer {
  const head = Buffer.alloc(8 + name.length + 4);
  head.writeBigUInt64LE(BigInt(name.length), 0);
  head.write(name, 8, "latin1");
  head.writeUInt32LE(typeof value === "number" ? TYPE.uint32 : TYPE.bool, 8 + name.length);
  const tail = Buffer.alloc(typeof value === "number" ? 4 : 1);
  if (typeof value === "number") tail.writeUInt32LE(value);
  else tail.writeUInt8(value ? 1 : 0);
  return Buffer.concat([head, tail]);
}

/** Where keys and the list of tensors end. */
function endOfTensorInfo(file: Buffer): number {
  let at = HEADER_BYTES;
  const skipString = (): void => {
    at += 8 + Number(file.readBigUInt64LE(at));
  };
  const skipValue = (type: number): void => {
    if (type === TYPE.string) skipString();
    else if (type === TYPE.array) {
      const inner = file.readUInt32LE(at);
      const count = Number(file.readBigUInt64LE(at + 4));
      at += 12;
      for (let index = 0; index < count; index += 1) skipValue(inner);
    } else at += SIZE_OF_TYPE[type] ?? NaN;
  };
  for (let key = 0n; key < file.readBigUInt64LE(16); key += 1n) {
    skipString();
    at += 4;
    skipValue(file.readUInt32LE(at - 4));
  }
  for (let tensor = 0n; tensor < file.readBigUInt64LE(8); tensor += 1n) {
    skipString();
    const dimensions = file.readUInt32LE(at);
    at += 4 + 8 * dimensions + 4 + 8;
  }
  return at;
}
