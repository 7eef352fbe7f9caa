import type { z } from "zod";

import { downstreamSchema, type Downstream, type InferenceRequest } from "./downstream.ts";
import { readFrequent } from "./frequent.ts";
import { MAX_UPSTREAM_TEXT_BYTES } from "./limits.ts";
import { upstreamSchema, type Upstream } from "./upstream.ts";
import { utf8Length } from "./utf8-length.ts";

/**
 * Text frames to messages and back. Decoding returns a result and never throws: the receiver decides whether a bad frame is
 * ignored or closes the socket.
 */

export type DecodeError =
  /** A message of a type this version does not know: counted and ignored. */
  | { readonly kind: "unknown_type"; readonly type: string }
  /** Not JSON, not an object, or not what its type demands. */
  | { readonly kind: "malformed"; readonly detail: string }
  | { readonly kind: "too_large"; readonly bytes: number };

export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: DecodeError };

/** Schemas by message type, so that a message is checked only against its own. */
const upstreamSchemas = new Map<string, z.ZodType<Upstream>>(
  upstreamSchema.options.map((option) => [option.shape.type.value, option]),
);
const downstreamSchemas = new Map<string, z.ZodType<Downstream>>(
  downstreamSchema.options.map((option) => [option.shape.type.value, option]),
);

/** Decodes a provider's text frame. Frames above 256 KiB are refused without being parsed. */
export function decodeUpstream(text: string): Decoded<Upstream> {
  // A UTF-16 unit is at most three bytes of UTF-8, so only texts near the limit need to be measured exactly.
  if (text.length * 3 > MAX_UPSTREAM_TEXT_BYTES) {
    const bytes = utf8Length(text);
    if (bytes > MAX_UPSTREAM_TEXT_BYTES) return { ok: false, error: { kind: "too_large", bytes } };
  }
  return decode(text, upstreamSchemas, readFrequent);
}

/** Decodes a coordinator's text frame; the provider's side of the codec. */
export function decodeDownstream(text: string): Decoded<Downstream> {
  return decode(text, downstreamSchemas);
}

export function encodeUpstream(message: Upstream): string {
  return JSON.stringify(message);
}

export function encodeDownstream(message: Downstream): string {
  return JSON.stringify(message);
}

/**
 * Encodes an `inference_request` around a body that is already JSON text, so that a prompt of megabytes is
 * validated once at the edge and never parsed again on its way to the machine.
 */
export function encodeInferenceRequest(
  head: Omit<InferenceRequest, "body" | "type">,
  bodyText: string,
): string {
  const { request_id, stream, endpoint, model_id, deadline_ms, owner_bypass, flush_ms } = head;
  const fields = JSON.stringify({
    type: "inference_request",
    request_id,
    stream,
    endpoint,
    model_id,
    deadline_ms,
    owner_bypass,
    flush_ms,
  });
  return `${fields.slice(0, -1)},"body":${bodyText}}`;
}

function decode<T>(
  text: string,
  schemas: ReadonlyMap<string, z.ZodType<T>>,
  read: (json: object) => T | null = () => null,
): Decoded<T> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { ok: false, error: { kind: "malformed", detail: "not JSON" } };
  }
  if (typeof json !== "object" || json === null || !("type" in json) || typeof json.type !== "string") {
    return { ok: false, error: { kind: "malformed", detail: "not an object with a type" } };
  }
  const value = read(json);
  if (value !== null) return { ok: true, value };
  const schema = schemas.get(json.type);
  if (schema === undefined) {
    return { ok: false, error: { kind: "unknown_type", type: json.type.slice(0, 64) } };
  }
  const parsed = schema.safeParse(json);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  const where = issue === undefined ? "" : `${issue.path.join(".")}: ${issue.message}`;
  return { ok: false, error: { kind: "malformed", detail: `${json.type}: ${where}`.slice(0, 300) } };
}
