/**
 * Binary frames from a provider: one or more records `[u32 stream][u32 length][bytes]`, big-endian. The bytes are
 * response body bytes and are forwarded untouched, so a frame is cut into views and never copied.
 */

const HEADER_BYTES = 8;

export interface StreamRecord {
  readonly stream: number;
  /** A view into the frame; valid as long as the frame is. */
  readonly bytes: Uint8Array;
}

/**
 * Cuts a frame into its records, each when it is asked for: a long frame of empty ones holds millions, and all at once
 * would fill the memory of an object. Returns null if the lengths do not add up: the sender is broken (close 4000).
 */
export function decodeRecords(frame: ArrayBuffer): Iterable<StreamRecord> | null {
  const view = new DataView(frame);
  return isWhole(view) ? recordsOf(view) : null;
}

function isWhole(frame: DataView): boolean {
  let offset = 0;
  while (frame.byteLength - offset >= HEADER_BYTES) offset += HEADER_BYTES + frame.getUint32(offset + 4);
  return offset === frame.byteLength;
}

function* recordsOf(frame: DataView<ArrayBuffer>): Generator<StreamRecord> {
  for (let offset = 0; offset < frame.byteLength;) {
    const length = frame.getUint32(offset + 4);
    const bytes = new Uint8Array(frame.buffer, offset + HEADER_BYTES, length);
    yield { stream: frame.getUint32(offset), bytes };
    offset += HEADER_BYTES + length;
  }
}

/** Joins chunks of several streams into one frame; `chunks` of one stream become one record. */
export function encodeRecords(
  streams: Iterable<{ readonly stream: number; readonly chunks: readonly Uint8Array[] }>,
): Uint8Array<ArrayBuffer> {
  const parts = [...streams];
  let total = 0;
  for (const { chunks } of parts) {
    total += HEADER_BYTES;
    for (const chunk of chunks) total += chunk.byteLength;
  }
  const frame = new Uint8Array(total);
  const view = new DataView(frame.buffer);
  let offset = 0;
  for (const { stream, chunks } of parts) {
    const header = offset;
    offset += HEADER_BYTES;
    for (const chunk of chunks) {
      frame.set(chunk, offset);
      offset += chunk.byteLength;
    }
    view.setUint32(header, stream);
    view.setUint32(header + 4, offset - header - HEADER_BYTES);
  }
  return frame;
}
