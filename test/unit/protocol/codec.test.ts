import fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  decodeDownstream,
  decodeUpstream,
  encodeDownstream,
  encodeInferenceRequest,
  encodeUpstream,
} from "../../../protocol/codec.ts";
import { MAX_UPSTREAM_TEXT_BYTES } from "../../../protocol/limits.ts";
import { DOWNSTREAM, UPSTREAM } from "./samples.ts";

describe("a message of every type survives the way", () => {
  it.each(Object.values(UPSTREAM))("to the coordinator: $type", (message) => {
    expect(decodeUpstream(encodeUpstream(message))).toEqual({ ok: true, value: message });
  });

  it.each(Object.values(DOWNSTREAM))("to the provider: $type", (message) => {
    expect(decodeDownstream(encodeDownstream(message))).toEqual({ ok: true, value: message });
  });
});

describe("decoding", () => {
  it.each(Object.values(UPSTREAM))("drops the unknown fields of $type and keeps the rest", (message) => {
    expect(decodeUpstream(JSON.stringify({ ...message, surprise: { type: "x" } }))).toEqual({
      ok: true,
      value: message,
    });
  });

  it("drops unknown fields inside a message too", () => {
    const { register } = UPSTREAM;
    const text = JSON.stringify({ ...register, hardware: { ...register.hardware, neural_cores: 32 } });
    expect(decodeUpstream(text)).toEqual({ ok: true, value: register });
  });

  it.each([
    ["upstream", decodeUpstream, "sing"],
    ["downstream", decodeDownstream, "sing"],
    ["an order among facts", decodeUpstream, "assign_model"],
    ["a fact among orders", decodeDownstream, "register"],
    ["a name every object knows", decodeUpstream, "constructor"],
  ])("names an unknown type instead of calling it malformed: %s", (_, decode, type) => {
    expect(decode(JSON.stringify({ type }))).toEqual({ ok: false, error: { kind: "unknown_type", type } });
  });

  it("cuts an endless type short", () => {
    expect(decodeUpstream(JSON.stringify({ type: "x".repeat(1000) }))).toMatchObject({
      error: { type: "x".repeat(64) },
    });
  });

  it.each(["", "{", "ping", "null", "[]", "7", '"register"', "{}", '{"type":7}', '{"type":null}', "[1,2"])(
    "calls %j malformed",
    (text) => {
      expect(decodeUpstream(text)).toMatchObject({ ok: false, error: { kind: "malformed" } });
      expect(decodeDownstream(text)).toMatchObject({ ok: false, error: { kind: "malformed" } });
    },
  );

  it("wants every field that is not optional", () => {
    const optional = new Set([
      "version",
      "private_only",
      "progress",
      "error",
      "certificate_chain",
      "reserved",
    ]);
    for (const message of Object.values(UPSTREAM)) {
      for (const field of Object.keys(message)) {
        if (field === "type") continue;
        const { [field]: _, ...rest } = message as Record<string, unknown>;
        expect([message.type, field, decodeUpstream(JSON.stringify(rest)).ok]).toEqual([
          message.type,
          field,
          optional.has(field),
        ]);
      }
    }
  });

  it.each([
    [{ ...UPSTREAM.heartbeat, memory_pressure: 1.5 }, "heartbeat: memory_pressure"],
    [{ ...UPSTREAM.heartbeat, running: -1 }, "heartbeat: running"],
    [{ ...UPSTREAM.heartbeat, running: 0.5 }, "heartbeat: running"],
    [{ ...UPSTREAM.heartbeat, thermal_state: "warm" }, "heartbeat: thermal_state"],
    [{ ...UPSTREAM.heartbeat, accepting: "yes" }, "heartbeat: accepting"],
    [{ ...UPSTREAM.heartbeat, max_concurrency: 0 }, "heartbeat: max_concurrency"],
    [{ ...UPSTREAM.register, machine_id: "A" }, "register: machine_id"],
    [{ ...UPSTREAM.register, public_key: "" }, "register: public_key"],
    [{ ...UPSTREAM.register, models: [{ id: "a b", size_bytes: 1 }] }, "register: models.0.id"],
    [
      { ...UPSTREAM.register, models: [{ id: "a", size_bytes: 1, decode_tps: 0 }] },
      "register: models.0.decode_tps",
    ],
    [
      { ...UPSTREAM.register, loaded_models: Array.from({ length: 65 }, () => "m") },
      "register: loaded_models",
    ],
    [{ ...UPSTREAM.inference_accepted, stream: 2 ** 32 }, "inference_accepted: stream"],
    [{ ...UPSTREAM.inference_accepted, request_id: "a b" }, "inference_accepted: request_id"],
    [{ ...UPSTREAM.inference_error, class: "mood" }, "inference_error: class"],
    [{ ...UPSTREAM.inference_error, code: "" }, "inference_error: code"],
    [
      { ...UPSTREAM.assign_model_status, error: { code: "sulking", message: "" } },
      "assign_model_status: error.code",
    ],
  ])("names the field at fault, case %#", (message, detail) => {
    const decoded = decodeUpstream(JSON.stringify(message));
    expect(decoded).toMatchObject({ ok: false, error: { kind: "malformed" } });
    expect(JSON.stringify(decoded)).toContain(detail);
  });

  it("never throws, whatever the text", () => {
    const nearly = fc
      .tuple(
        fc.constantFrom(...Object.values(UPSTREAM), ...Object.values(DOWNSTREAM)),
        fc.nat(500),
        fc.string(),
      )
      .map(([message, at, noise]) => {
        const text = JSON.stringify(message);
        return text.slice(0, at) + noise + text.slice(at);
      });
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.json(), nearly), (text) => {
        expect(typeof decodeUpstream(text).ok).toBe("boolean");
        expect(typeof decodeDownstream(text).ok).toBe("boolean");
      }),
      { numRuns: 500 },
    );
  });
});

describe("the limit of a text frame from a provider", () => {
  const padded = (filler: string): string => `{"type":"sing","text":"${filler}"}`;
  const room = MAX_UPSTREAM_TEXT_BYTES - padded("").length;

  it("is 256 KiB, to the byte", () => {
    const exact = padded("a".repeat(room));
    expect(decodeUpstream(exact)).toMatchObject({ error: { kind: "unknown_type" } });
    expect(decodeUpstream(`${exact} `)).toEqual({
      ok: false,
      error: { kind: "too_large", bytes: 256 * 1024 + 1 },
    });
  });

  it.each([
    ["é", 2],
    ["€", 3],
    ["🚲", 4],
  ])("counts bytes and not characters: %s has %i", (character, bytes) => {
    const most = Math.floor(room / bytes);
    expect(decodeUpstream(padded(character.repeat(most)))).toMatchObject({ error: { kind: "unknown_type" } });
    expect(decodeUpstream(padded(character.repeat(most + 1)))).toMatchObject({
      error: { kind: "too_large" },
    });
  });

  it("measures as an encoder would", () => {
    const filler = "x".repeat(MAX_UPSTREAM_TEXT_BYTES);
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (text) => {
        const { byteLength: bytes } = new TextEncoder().encode(filler + text);
        expect(decodeUpstream(filler + text)).toEqual({ ok: false, error: { kind: "too_large", bytes } });
      }),
    );
  });

  it("holds for providers only: requests may be larger", () => {
    const text = encodeDownstream({
      ...DOWNSTREAM.inference_request,
      body: { text: "x".repeat(300 * 1024) },
    });
    expect(decodeDownstream(text).ok).toBe(true);
  });
});

it("a request's body goes into its message without a byte changed", () => {
  const body =
    '{ "model":"m",\n "messages":[{"role":"user","content":"é\\u00e9 \\"x\\""}], "unknown": 1.50 }';
  const { type, body: _, ...head } = DOWNSTREAM.inference_request;
  const text = encodeInferenceRequest(head, body);
  expect(text).toContain(`"body":${body}`);
  expect(decodeDownstream(text)).toEqual({ ok: true, value: { type, ...head, body: JSON.parse(body) } });
});
