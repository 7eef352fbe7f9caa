import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { decodeRecords, encodeRecords, type StreamRecord } from "../../../protocol/records.ts";

const streams = fc.array(
  fc.record({
    stream: fc.nat(0xffff_ffff),
    chunks: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }),
  }),
  { maxLength: 6 },
);

function recordsOf(frame: ArrayBuffer): StreamRecord[] | null {
  const records = decodeRecords(frame);
  return records === null ? null : [...records];
}

describe("records", () => {
  it("are laid out as the protocol says: stream and length as big-endian u32, then the bytes", () => {
    const frame = encodeRecords([
      { stream: 0x0102_0304, chunks: [new Uint8Array([1]), new Uint8Array([2, 3])] },
      { stream: 0xffff_ffff, chunks: [] },
    ]);
    expect([...frame]).toEqual([1, 2, 3, 4, 0, 0, 0, 3, 1, 2, 3, 255, 255, 255, 255, 0, 0, 0, 0]);
  });

  it("are read back as they were written, the chunks of a stream joined", () => {
    fc.assert(
      fc.property(streams, (parts) => {
        const decoded = recordsOf(encodeRecords(parts).buffer);
        const expected = parts.map(({ stream, chunks }) => ({
          stream,
          bytes: chunks.flatMap((chunk) => [...chunk]),
        }));
        expect(decoded?.map(({ stream, bytes }) => ({ stream, bytes: [...bytes] }))).toEqual(expected);
      }),
    );
  });

  it("are views into the frame and no copies", () => {
    const frame = encodeRecords([{ stream: 1, chunks: [new Uint8Array([7])] }]);
    expect(recordsOf(frame.buffer)?.[0]?.bytes.buffer).toBe(frame.buffer);
  });

  it("are cut off one by one, since a long frame of empty ones holds millions", () => {
    const frame = encodeRecords([
      { stream: 1, chunks: [] },
      { stream: 2, chunks: [] },
    ]);
    const seen: number[] = [];
    for (const { stream } of decodeRecords(frame.buffer) ?? []) {
      seen.push(stream);
      // The second has not been looked at yet.
      frame[11] = 7;
    }
    expect(seen).toEqual([1, 7]);
  });

  it("of an empty frame are none", () => {
    expect(recordsOf(new ArrayBuffer(0))).toEqual([]);
  });

  it("are refused as a whole when a frame is cut anywhere", () => {
    const frame = encodeRecords([
      { stream: 1, chunks: [new Uint8Array(5)] },
      { stream: 2, chunks: [new Uint8Array(3)] },
    ]);
    const whole = new Set([0, 13, 24]);
    for (let length = 0; length <= frame.byteLength; length++) {
      expect([length, decodeRecords(frame.slice(0, length).buffer) !== null]).toEqual([
        length,
        whole.has(length),
      ]);
    }
  });

  it("are refused when a length says more than there is, however much", () => {
    for (const length of [1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      const frame = new Uint8Array(8);
      new DataView(frame.buffer).setUint32(4, length);
      expect(decodeRecords(frame.buffer)).toBeNull();
    }
  });

  it("never throw, whatever the bytes, and account for each of them", () => {
    // Mostly zeros, so that lengths are small and frames often valid.
    const bytes = fc.array(fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 2, 255), { maxLength: 64 });
    fc.assert(
      fc.property(fc.oneof(bytes, fc.array(fc.nat(255), { maxLength: 64 })), (values) => {
        const frame = Uint8Array.from(values);
        const records = recordsOf(frame.buffer);
        const total = records?.reduce((sum, record) => sum + 8 + record.bytes.byteLength, 0);
        expect(total ?? frame.byteLength).toBe(frame.byteLength);
      }),
      { numRuns: 1000 },
    );
  });
});
