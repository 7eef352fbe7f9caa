import type { ModelId } from "../../protocol/ids.ts";
import {
  ACCEPT_TIMEOUT_MS,
  CANCEL_TIMEOUT_MS,
  CLIENT_PAUSE_MS,
  DRAIN_TIMEOUT_MS,
  FIRST_BYTE_PER_TOKEN_MS,
  FIRST_BYTE_TIMEOUT_MS,
  LOAD_TIMEOUT_MS,
  STREAM_IDLE_TIMEOUT_MS,
} from "../limits.ts";
import type { Attempt } from "./attempt.ts";
import type { Connection } from "./connection.ts";
import { CLIENT_TOO_SLOW, providerFault, type Failure } from "./failure.ts";
import { isLoaded, isVisit } from "./gate.ts";

/** How long a machine may take to accept a request for `model` that it is sent now. */
export function acceptTimeoutMs(connection: Connection, model: ModelId): number {
  if (isLoaded(connection, model)) return ACCEPT_TIMEOUT_MS;
  // It first ends what runs on the model that it leaves.
  const drainMs = isVisit(connection, model) ? 2 * DRAIN_TIMEOUT_MS : 0;
  return ACCEPT_TIMEOUT_MS + drainMs + LOAD_TIMEOUT_MS;
}

/** When there is none: the request's own is left, or the socket's. */
const NEVER = { at: Infinity, failure: null };

/**
 * When an attempt times out waiting for its machine, and what that counts as; null if nobody is told. A non-streamed answer has
 * no sign of life between acceptance and its end, so there only the request's own deadline counts.
 * @param isWanted whether others wait for a slot.
 */
export function attemptDeadline(
  attempt: Attempt,
  isWanted: boolean,
): { readonly at: number; readonly failure: Failure | null } {
  const { phase, since, request, acceptWithinMs } = attempt;
  const within = (ms: number, message: string) => ({ at: since + ms, failure: providerFault(message) });
  switch (phase) {
    case "sent":
      return within(
        acceptWithinMs,
        `the machine did not accept within ${Math.round(acceptWithinMs / 1000)} s`,
      );
    case "accepted": {
      if (request?.spec.stream !== true) return NEVER;
      const wait = FIRST_BYTE_TIMEOUT_MS + request.promptTokensEstimate * FIRST_BYTE_PER_TOKEN_MS;
      return within(wait, `the machine sent no byte within ${Math.round(wait / 1000)} s`);
    }
    case "streaming":
      if (request?.spec.stream !== true) return NEVER;
      // The pool has paused it. Its client may read slowly, but not for ever where others need the slot.
      if (attempt.paused) return isWanted ? { at: since + CLIENT_PAUSE_MS, failure: CLIENT_TOO_SLOW } : NEVER;
      return within(STREAM_IDLE_TIMEOUT_MS, "the machine fell silent in the middle of the answer");
    case "cancelling":
      return { at: since + CANCEL_TIMEOUT_MS, failure: null };
  }
}
