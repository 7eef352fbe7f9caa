import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { CLOSE, reconnectRule } from "../../../protocol/close-codes.ts";
import {
  decodeDownstream,
  decodeUpstream,
  encodeInferenceRequest,
  encodeUpstream,
} from "../../../protocol/codec.ts";
import { MAX_EPOCH } from "../../../protocol/ids.ts";
import { MAX_UPSTREAM_TEXT_BYTES } from "../../../protocol/limits.ts";
import { decodeRecords, encodeRecords } from "../../../protocol/records.ts";

const status = (fields: object = {}): object => ({
  type: "assign_model_status",
  model_id: "m",
  epoch: 3,
  status: "loading",
  progress: 0.5,
  ...fields,
});

describe("decodeUpstream", () => {
  it("drops unknown fields and keeps the rest", () => {
    const decoded = decodeUpstream(JSON.stringify(status({ surprise: 1 })));
    expect(decoded).toEqual({ ok: true, value: status() });
  });

  it("names an unknown type instead of calling it malformed", () => {
    expect(decodeUpstream('{"type":"sing"}')).toEqual({
      ok: false,
      error: { kind: "unknown_type", type: "sing" },
    });
  });

  it.each(["", "{", "null", "[]", "7", '"register"', "{}", '{"type":7}', '{"type":"register"}'])(
    "calls %j malformed",
    (text) => {
      expect(decodeUpstream(text)).toMatchObject({ ok: false, error: { kind: "malformed" } });
    },
  );

  it("names the field at fault", () => {
    const decoded = decodeUpstream(JSON.stringify(status({ progress: 2 })));
    expect(decoded).toMatchObject({ ok: false, error: { detail: expect.stringContaining("progress") } });
  });

  it("[F6] parses epochs from 0 to 2^48 and nothing else", () => {
    for (const epoch of [0, 1, MAX_EPOCH])
      expect(decodeUpstream(JSON.stringify(status({ epoch }))).ok).toBe(true);
    for (const epoch of [-1, 0.5, MAX_EPOCH + 1, "1", null]) {
      expect(decodeUpstream(JSON.stringify(status({ epoch }))).ok).toBe(false);
    }
  });

  it("counts bytes, not characters, against the limit of a text frame", () => {
    const padded = (filler: string): string => `{"type":"sing","text":"${filler}"}`;
    const overhead = padded("").length;
    const exact = padded("a".repeat(MAX_UPSTREAM_TEXT_BYTES - overhead));
    expect(decodeUpstream(exact)).toMatchObject({ error: { kind: "unknown_type" } });
    expect(decodeUpstream(`${exact} `)).toMatchObject({ error: { kind: "too_large" } });
    // Three bytes each, so a third as many characters are too many.
    const wide = padded("€".repeat(Math.ceil(MAX_UPSTREAM_TEXT_BYTES / 3)));
    expect(decodeUpstream(wide)).toMatchObject({ error: { kind: "too_large" } });
  });

  it("never throws, whatever the text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(typeof decodeUpstream(text).ok).toBe("boolean");
        expect(typeof decodeDownstream(text).ok).toBe("boolean");
      }),
    );
  });

  it("reads back what encodeUpstream wrote", () => {
    const message = { type: "inference_accepted", request_id: "req_1", stream: 17 } as const;
    expect(decodeUpstream(encodeUpstream(message))).toEqual({ ok: true, value: message });
  });
});

it("puts a request's body into the message without changing a byte of it", () => {
  const body =
    '{ "model":"m",\n "messages":[{"role":"user","content":"é\\u00e9 \\"x\\""}], "unknown": 1.50 }';
  const head = {
    request_id: "req_1",
    stream: 4,
    endpoint: "/v1/chat/completions",
    model_id: "m" as never,
    deadline_ms: 1000,
    owner_bypass: false,
  };
  const text = encodeInferenceRequest(head, body);
  expect(text).toContain(`"body":${body}`);
  expect(decodeDownstream(text)).toEqual({
    ok: true,
    value: { type: "inference_request", ...head, body: JSON.parse(body) },
  });
});

describe("records", () => {
  it("are read back as they were written, the chunks of a stream joined", () => {
    const streams = fc.array(
      fc.record({
        stream: fc.nat(0xffff_ffff),
        chunks: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }),
      }),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(streams, (parts) => {
        const decoded = decodeRecords(encodeRecords(parts).buffer);
        const expected = parts.map(({ stream, chunks }) => ({
          stream,
          bytes: chunks.flatMap((chunk) => [...chunk]),
        }));
        expect(decoded?.map(({ stream, bytes }) => ({ stream, bytes: [...bytes] }))).toEqual(expected);
      }),
    );
  });

  it("are refused as a whole when the lengths do not add up", () => {
    const frame = encodeRecords([{ stream: 1, chunks: [new Uint8Array(5)] }]);
    for (let length = 1; length < frame.byteLength; length++) {
      expect(decodeRecords(frame.slice(0, length).buffer)).toBeNull();
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const records = decodeRecords(bytes.slice().buffer);
        const total = records?.reduce((sum, record) => sum + 8 + record.bytes.byteLength, 0);
        expect(total ?? bytes.byteLength).toBe(bytes.byteLength);
      }),
    );
  });
});

it.each([
  [1000, "soon"],
  [1006, "soon"],
  [1012, "soon"],
  [1011, "soon"],
  [4000, "later"],
  [4001, "unless_replaced"],
  [4002, "if_alone"],
  [4003, "soon"],
  [4004, "soon"],
  [4005, "stop"],
  [4006, "stop"],
  [4007, "stop"],
])("close code %i makes a provider reconnect: %s", (code, rule) => {
  expect(reconnectRule(code)).toBe(rule);
});

it("uses every close code once", () => {
  const codes = Object.values(CLOSE).map(({ code }) => code);
  expect(new Set(codes).size).toBe(codes.length);
});
