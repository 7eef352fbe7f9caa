import { describe, expect, it } from "vitest";

import { bytesOfBits, DerError, naturalOf, read, timeOf } from "../../../durable-objects/attestation/der.ts";

/** Certificates have one spelling only, and whatever has another is no certificate. */

const time = (tag: number, text: string) =>
  read(Uint8Array.of(tag, text.length, ...new TextEncoder().encode(text)));
const number = (content: readonly number[]) => read(Uint8Array.of(2, content.length, ...content));
const UTC = 0x17;
const GENERALIZED = 0x18;

describe("DER", () => {
  it.each([
    ["nothing", []],
    ["a tag alone", [0x30]],
    ["a value that is cut off", [0x04, 2, 1]],
    ["two values", [0x05, 0, 0x05, 0]],
    ["a length that is not said", [0x30, 0x80, 0, 0]],
    ["a short length in the long form", [0x04, 0x81, 1, 7]],
    ["a length with a zero in front", [0x04, 0x82, 0, 0x80, ...Array<number>(128).fill(7)]],
    ["a length of three bytes", [0x04, 0x83, 1, 0, 0]],
    ["a tag of more than one byte", [0x1f, 1, 0]],
  ])("is not %s", (_, bytes) => {
    expect(() => read(Uint8Array.from(bytes))).toThrow(DerError);
  });

  it.each([
    ["0", [0], []],
    ["one byte", [0x7f], [0x7f]],
    ["a zero that it needs", [0, 0x80], [0x80]],
  ])("reads a number of %s", (_, content, expected) => {
    expect([...naturalOf(number(content))]).toEqual(expected);
  });

  it.each([
    ["of no byte", []],
    ["below zero", [0x80]],
    ["with a zero too many", [0, 1]],
  ])("reads no number %s", (_, content) => {
    expect(() => naturalOf(number(content))).toThrow(DerError);
  });

  it("takes bits for bytes only if they are whole", () => {
    expect([...bytesOfBits(read(Uint8Array.of(3, 2, 0, 9)))]).toEqual([9]);
    expect(() => bytesOfBits(read(Uint8Array.of(3, 2, 1, 8)))).toThrow(DerError);
    expect(() => bytesOfBits(read(Uint8Array.of(3, 0)))).toThrow(DerError);
  });

  it.each([
    [UTC, "261101000000Z", Date.UTC(2026, 10, 1)],
    [UTC, "491231235959Z", Date.UTC(2049, 11, 31, 23, 59, 59)],
    [UTC, "500101000000Z", Date.UTC(1950, 0, 1)],
    [GENERALIZED, "20500101000000Z", Date.UTC(2050, 0, 1)],
  ])("reads a time of tag %i, %s", (tag, text, expected) => {
    expect(timeOf(time(tag, text))).toBe(expected);
  });

  it.each([
    [UTC, "20261101000000Z"],
    [UTC, "2611010000Z"],
    [UTC, "261101000000+0100"],
    [UTC, "261301000000Z"],
    [GENERALIZED, "20261101000000.5Z"],
    [GENERALIZED, "261101000000Z"],
    [0x0c, "261101000000Z"],
  ])("reads no time of tag %i, %s", (tag, text) => {
    expect(() => timeOf(time(tag, text))).toThrow(DerError);
  });
});
