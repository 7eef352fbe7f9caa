import type { ModelId } from "../../protocol/ids.ts";
import {
  ACCEPT_TIMEOUT_MS,
  CANCEL_TIMEOUT_MS,
  DRAIN_TIMEOUT_MS,
  FIRST_BYTE_PER_TOKEN_MS,
  FIRST_BYTE_TIMEOUT_MS,
  LOAD_TIMEOUT_MS,
  STREAM_IDLE_TIMEOUT_MS,
} from "../limits.ts";
import type { Attempt } from "./attempt.ts";
import type { Connection } from "./connection.ts";
import { isLoaded, isVisit } from "./gate.ts";

/** How long a machine may take to accept a request for `model` that it is sent now. */
export function acceptTimeoutMs(connection: Connection, model: ModelId): number {
  if (isLoaded(connection, model)) return ACCEPT_TIMEOUT_MS;
  // It first ends what runs on the model that it leaves.
  const drainMs = isVisit(connection, model) ? 2 * DRAIN_TIMEOUT_MS : 0;
  return ACCEPT_TIMEOUT_MS + drainMs + LOAD_TIMEOUT_MS;
}

/**
 * When an attempt has waited long enough for its machine's next sign, and what to call it then. A non-streamed
 * answer has no sign of life between acceptance and its end, so there only the request's own deadline counts.
 */
export function attemptDeadline(attempt: Attempt): { at: number; message: string } {
  const { phase, since, request, acceptWithinMs } = attempt;
  switch (phase) {
    case "sent":
      return {
        at: since + acceptWithinMs,
        message: `the machine did not accept within ${Math.round(acceptWithinMs / 1000)} s`,
      };
    case "accepted": {
      if (request?.spec.stream !== true) return { at: Infinity, message: "" };
      const wait = FIRST_BYTE_TIMEOUT_MS + request.promptTokensEstimate * FIRST_BYTE_PER_TOKEN_MS;
      return { at: since + wait, message: `the machine sent no byte within ${Math.round(wait / 1000)} s` };
    }
    case "streaming": {
      if (request?.spec.stream !== true) return { at: Infinity, message: "" };
      // While it is paused the machine is silent on our own order; the client's deadline ends that.
      if (attempt.paused) return { at: Infinity, message: "" };
      return {
        at: since + STREAM_IDLE_TIMEOUT_MS,
        message: "the machine fell silent in the middle of the answer",
      };
    }
    case "cancelling":
      return { at: since + CANCEL_TIMEOUT_MS, message: "" };
  }
}
