import { REQUEST_ID } from "./ids.ts";
import { MAX_COUNT, MAX_DURATION_MS } from "./limits.ts";
import type { Upstream } from "./upstream.ts";

/**
 * Hand-written parsing of the two messages that every request causes: the schema would take a tenth of the time that a pool
 * spends on a request. Anything unusual is left to the schema, which also has the error messages.
 */

type Json = Readonly<Record<string, unknown>>;

/** @returns the message as its schema would give it, without unknown fields; null if the schema must decide. */
export function readFrequent(json: object): Upstream | null {
  if (!isObject(json)) return null;
  const { type, request_id, stream } = json;
  if (type !== "inference_accepted" && type !== "inference_complete") return null;
  if (typeof request_id !== "string" || !REQUEST_ID.test(request_id)) return null;
  if (!isInteger(stream, 0xffff_ffff)) return null;
  if (type === "inference_accepted") return { type, request_id, stream };
  const { usage, timings, finish_reason } = json;
  if (typeof finish_reason !== "string" || finish_reason.length > 256) return null;
  if (!isObject(usage) || !isObject(timings)) return null;
  const { prompt_tokens, completion_tokens, cached_tokens } = usage;
  if (!isCount(prompt_tokens) || !isCount(completion_tokens)) return null;
  const { queue_ms, prefill_ms, decode_ms } = timings;
  if (!isDuration(queue_ms) || !isDuration(prefill_ms) || !isDuration(decode_ms)) return null;
  if (cached_tokens !== undefined && !isCount(cached_tokens)) return null;
  const counted = { prompt_tokens, completion_tokens };
  return {
    type,
    request_id,
    stream,
    usage: cached_tokens === undefined ? counted : { ...counted, cached_tokens },
    finish_reason,
    timings: { queue_ms, prefill_ms, decode_ms },
  };
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isInteger(value: unknown, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}

function isCount(value: unknown): value is number {
  return isInteger(value, MAX_COUNT);
}

function isDuration(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= MAX_DURATION_MS;
}
