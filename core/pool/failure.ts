import type { InferenceError } from "../../protocol/upstream.ts";
import type { ApiError } from "../api-error.ts";

/**
 * Classifies the failure of an attempt (F15): the client's error, whether another machine may try, and whether this machine is
 * to blame.
 */
export interface Failure {
  readonly error: ApiError;
  /** Another machine may do better. Never true for what the client got wrong. */
  readonly retriable: boolean;
  /** This machine is not asked again for the same request. A refusal or a lost socket blames nobody. */
  readonly blamesMachine: boolean;
  /** The machine had no room and did not start the request. */
  readonly isRefusal: boolean;
}

/** @param isCut the client has part of the answer already. */
export function classifyProviderError(message: InferenceError, isCut: boolean): Failure {
  switch (message.class) {
    case "capacity":
      // Only the end of a drain comes this late (H16).
      if (isCut) return { ...cutOff(message.code), retriable: false, blamesMachine: false, isRefusal: false };
      return {
        error: {
          code: "queue_timeout",
          message: `no machine of this pool had room (${message.code}); try again`,
        },
        retriable: true,
        blamesMachine: false,
        isRefusal: true,
      };
    case "client":
      return { error: clientError(message), retriable: false, blamesMachine: false, isRefusal: false };
    case "fault":
    case "cancelled":
      return providerFault(`the machine failed: ${message.code}`);
  }
}

function cutOff(code: string): Pick<Failure, "error"> {
  const message = `the machine was needed elsewhere before the answer was complete (${code}); ask again`;
  return { error: { code: "provider_error", message } };
}

/** The machine violated the protocol, or did nothing for too long. */
export function providerFault(message: string): Failure {
  return {
    error: { code: "provider_error", message },
    retriable: true,
    blamesMachine: true,
    isRefusal: false,
  };
}

/** The socket went away, by whoever's doing; the machine may come straight back and try again. */
export const SOCKET_LOST: Failure = {
  error: { code: "provider_error", message: "the connection to the machine was lost" },
  retriable: true,
  blamesMachine: false,
  isRefusal: false,
};

export const DEADLINE_EXCEEDED: Failure = {
  error: { code: "deadline_exceeded", message: "the request took longer than 10 minutes", isFinal: true },
  retriable: false,
  blamesMachine: false,
  isRefusal: false,
};

export const CLIENT_TOO_SLOW: Failure = {
  error: {
    code: "client_too_slow",
    message: "too much of the answer waited unread, or for too long; read faster",
  },
  retriable: false,
  blamesMachine: false,
  isRefusal: false,
};

/** Engines name the invalid field at the start of the message, as in `messages[2].content: why`. */
function clientError({ code, message }: InferenceError): ApiError {
  const [, param] = /^([a-z_]{1,64}(?:\[\d{1,6}\]|\.[\w$-]{1,64}){0,32}): /.exec(message) ?? [];
  if (code === "context_length_exceeded") return { code, message, param: param ?? "messages" };
  return { code: code === "unsupported" ? code : "invalid_request", message, param };
}
