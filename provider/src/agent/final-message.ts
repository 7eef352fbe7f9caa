import type { InferenceRequest } from "../../../protocol/downstream.ts";
import { MAX_COUNT, MAX_DURATION_MS } from "../../../protocol/limits.ts";
import type { ErrorClass, InferenceComplete, InferenceError } from "../../../protocol/upstream.ts";
import type { RunResult, EngineError } from "../engine.ts";

/**
 * The final message about a request, which frees its slot at the pool: the token counts, or why there is no answer. After
 * a refusal the pool tries another machine and nobody is at fault; a fault counts against this machine. So the same
 * event maps to a different failure depending on how far the request had come.
 */

/** Why a request is ended early. */
export type Ending = "cancelled" | "deadline" | "socket_lost" | "switching";

export interface Failure {
  readonly class: ErrorClass;
  readonly code: string;
  readonly message: string;
}

const MAX_MESSAGE_LENGTH = 2000;

const CANCELLED: Failure = { class: "cancelled", code: "cancelled", message: "cancelled" };

/** For a request that was ended before it was accepted. Null if nobody is left to tell. */
export function failureOfWaiting(ending: Ending): Failure | null {
  switch (ending) {
    case "cancelled":
      return CANCELLED;
    case "deadline":
      return switchingModel("the model was not loaded before the deadline");
    case "switching":
      return switchingModel("this machine switches to another model");
    case "socket_lost":
      return null;
  }
}

/**
 * For an accepted request without an answer.
 * @param ending null if the engine stopped it by itself.
 * @returns null if nobody is left to tell.
 */
export function failureOfRunning(ending: Ending | null): Failure | null {
  switch (ending) {
    case "cancelled":
      return CANCELLED;
    case "deadline":
      return { class: "fault", code: "deadline_exceeded", message: "the request's deadline has passed" };
    case "switching":
      // The one refusal that may follow an acceptance (H16).
      return switchingModel("the machine was ordered to hold another model");
    case "socket_lost":
      return null;
    case null:
      return { class: "fault", code: "engine_stopped", message: "the engine stopped the request" };
  }
}

/** For a request whose answer was complete but never read by its paused client: not this machine's fault. */
export function failureOfUnread(ending: Ending): Failure | null {
  if (ending === "socket_lost") return null;
  const code = ending === "deadline" ? "deadline_exceeded" : "cancelled";
  return { class: "cancelled", code, message: "the answer was not read in time" };
}

/** For a request whose model could not be loaded. */
export function failureOfLoad({ class: errorClass, code, message }: EngineError): Failure {
  if (code === "insufficient_memory") return { class: "capacity", code, message };
  return errorClass === "capacity" ? switchingModel(message) : { class: "fault", code, message };
}

/** For an accepted request that failed in the engine. After acceptance nothing counts as a refusal (D3, H16). */
export function failureOfRun({ class: errorClass, code, message }: EngineError): Failure {
  return { class: errorClass === "client" ? "client" : "fault", code, message };
}

export function inferenceError(
  { request_id, stream }: InferenceRequest,
  { class: errorClass, code, message }: Failure,
): InferenceError {
  return {
    type: "inference_error",
    request_id,
    stream,
    class: errorClass,
    code,
    message: message.slice(0, MAX_MESSAGE_LENGTH),
  };
}

export function inferenceComplete(
  { request_id, stream }: InferenceRequest,
  { usage, finishReason, prefillMs, decodeMs }: RunResult,
  queueMs: number,
): InferenceComplete {
  return {
    type: "inference_complete",
    request_id,
    stream,
    usage: {
      prompt_tokens: count(usage.promptTokens),
      completion_tokens: count(usage.completionTokens),
      cached_tokens: count(usage.cachedTokens),
    },
    finish_reason: finishReason,
    timings: { queue_ms: duration(queueMs), prefill_ms: duration(prefillMs), decode_ms: duration(decodeMs) },
  };
}

function switchingModel(message: string): Failure {
  return { class: "capacity", code: "switching_model", message };
}

/** Engines may report nonsense, and a message that does not parse would cost the socket. */
function duration(ms: number): number {
  return ms <= MAX_DURATION_MS ? Math.max(0, Math.round(ms * 10) / 10) : 0;
}

function count(n: number): number {
  return n <= MAX_COUNT ? Math.round(duration(n)) : 0;
}
