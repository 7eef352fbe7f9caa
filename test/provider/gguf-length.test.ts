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
