import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { leastLength } from "../../provider/src/gguf-length.ts";
import { findModels } from "../../provider/src/models.ts";

const MODEL = join(import.meta.dirname, "../../models/tiny-verse.gguf");

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "gguf-length-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function lengthOf(bytes: Buffer): number {
  const path = join(directory, "m.gguf");
  writeFileSync(path, bytes);
  const file = openSync(path, "r");
  const length = leastLength(file, bytes.length);
  closeSync(file);
  return length;
}

it.each(["tiny-bard", "tiny-verse"])("finds the length of %s to the byte", (name) => {
  const bytes = readFileSync(join(MODEL, `../${name}.gguf`));
  expect(lengthOf(bytes)).toBe(bytes.length);
  expect(lengthOf(Buffer.concat([bytes, Buffer.alloc(100)]))).toBe(bytes.length);
});

it("wants more than any copy has that broke off, wherever it did", () => {
  const bytes = readFileSync(MODEL);
  for (let length = 24; length < bytes.length; length += 1 + (length >> 3)) {
    const needed = lengthOf(bytes.subarray(0, length));
    expect(needed).toBeGreaterThan(length);
    expect(needed).toBeLessThanOrEqual(bytes.length);
  }
  expect(lengthOf(bytes.subarray(0, -1))).toBe(bytes.length);
});

describe("leaves to the engine", () => {
  it.each([
    ["an older version", 4, 1],
    ["a key of a type that it does not know", 24 + 8 + "general.architecture".length, 99],
  ])("%s", (_, at, value) => {
    const bytes = Buffer.from(readFileSync(MODEL).subarray(0, 1000));
    bytes.writeUInt32LE(value, at);
    expect(lengthOf(bytes)).toBe(0);
  });
});

/** A file without keys and with one tensor of this type and size, behind so many other bytes. */
function withTensor(type: number, dimensions: readonly number[], offset: number): Buffer {
  const info = Buffer.alloc(24 + 8 + 1 + 4 + 8 * dimensions.length + 4 + 8);
  info.write("GGUF\x03", "latin1");
  info.writeUInt8(1, 8);
  info.writeUInt8(1, 24);
  info.write("t", 32);
  info.writeUInt32LE(dimensions.length, 33);
  for (const [index, size] of dimensions.entries()) info.writeUInt32LE(size, 37 + 8 * index);
  info.writeUInt32LE(type, info.length - 12);
  info.writeUInt32LE(offset, info.length - 8);
  return info;
}

describe("never wants more than the engine of", () => {
  const F32 = 0;
  const Q4_K = 12;
  const UNKNOWN = 99;
  it.each([
    ["a tensor of numbers", F32, [8, 4], 0, 128],
    ["a tensor of blocks", Q4_K, [512], 64, 64 + 288],
    ["a tensor of a type that it does not know", UNKNOWN, [512], 64, 65],
    ["an empty tensor", F32, [0], 64, 64],
    ["an empty tensor of a type that it does not know", UNKNOWN, [4, 0], 64, 64],
    ["a single number", F32, [], 0, 4],
  ])("%s", (_, type, dimensions, offset, bytes) => {
    const info = withTensor(type, dimensions, offset);
    const beginning = Math.ceil(info.length / 32) * 32;
    expect(lengthOf(info)).toBe(beginning + bytes);
  });

  it("a file that has keys alone, as the first part of a split model may", () => {
    const bytes = Buffer.from(readFileSync(MODEL));
    bytes.writeBigUInt64LE(0n, 8);
    expect(lengthOf(bytes)).toBeLessThan(bytes.length);
  });
});

it("keeps half a copy from being offered, and says how much is missing", () => {
  const whole = readFileSync(MODEL);
  writeFileSync(join(directory, "half.gguf"), whole.subarray(0, 500_000));
  const named = { models: [`a=${join(directory, "half.gguf")}`], directories: [], form: "files" } as const;
  expect(() => findModels(named)).toThrow(
    /half\.gguf is incomplete: it has 500,000 bytes and needs at least 1,869,984\. Copy or download it again\.$/,
  );
  writeFileSync(join(directory, "whole.gguf"), whole);
  const { models, skipped } = findModels({ models: [], directories: [directory], form: "files" });
  expect(models.map(({ id }) => id)).toEqual(["whole"]);
  expect(skipped).toEqual([expect.stringMatching(/half\.gguf is incomplete: .* again$/)]);
});
