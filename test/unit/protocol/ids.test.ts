import { describe, expect, it } from "vitest";

import {
  epochSchema,
  isModelId,
  machineIdSchema,
  MAX_EPOCH,
  modelIdSchema,
  requestIdSchema,
  streamIdSchema,
} from "../../../protocol/ids.ts";

const schemas = {
  "machine id": machineIdSchema,
  "model id": modelIdSchema,
  "request id": requestIdSchema,
  epoch: epochSchema,
  stream: streamIdSchema,
};

describe("an id", () => {
  it.each<[keyof typeof schemas, readonly unknown[], readonly unknown[]]>([
    [
      "machine id",
      ["abc", "0-9", "studio-7f3a", `a${"-".repeat(63)}`],
      ["", "ab", "-abc", "Abc", "a_c", "a.c", "abc\n", "é--", `a${"b".repeat(64)}`, 123, null],
    ],
    [
      "model id",
      ["m", "gpt-oss-20b", "org/Model.v1:q4@main", "a".repeat(128)],
      ["", "/m", "-m", "m#1", "m n", "m\n", "é", "a".repeat(129), 7, null],
    ],
    ["request id", ["r", "req_0f", "A.b:c-d", "9".repeat(128)], ["", "_r", "r r", "r/r", "r".repeat(129), 1]],
    ["stream", [0, 1, 0xffff_ffff], [-1, 0.5, 0x1_0000_0000, "1", null, NaN]],
  ])("of kind %s parses or does not", (kind, good, bad) => {
    for (const value of good) expect([value, schemas[kind].safeParse(value).success]).toEqual([value, true]);
    for (const value of bad) expect([value, schemas[kind].safeParse(value).success]).toEqual([value, false]);
  });

  it("of a model is told by hand as by its schema", () => {
    for (const text of ["m", "org/Model.v1:q4@main", "", "m n", "m\n", "m#1", "a".repeat(129)]) {
      expect([text, isModelId(text)]).toEqual([text, modelIdSchema.safeParse(text).success]);
    }
  });

  it("[F6] [H9] that is an epoch is a whole number from 0 to 2^48, which arithmetic keeps exact", () => {
    for (const epoch of [0, 1, 2 ** 32, 2 ** 48 - 1, 2 ** 48]) expect(epochSchema.parse(epoch)).toBe(epoch);
    for (const epoch of [-1, 0.5, 2 ** 48 + 1, 2 ** 53, "1", null, NaN, Infinity]) {
      expect([epoch, epochSchema.safeParse(epoch).success]).toEqual([epoch, false]);
    }
    expect(MAX_EPOCH + 1).toBeGreaterThan(MAX_EPOCH);
    expect(MAX_EPOCH + 1 - MAX_EPOCH).toBe(1);
  });
});
