/**
 * The errors a client can get, as data: one closed table from code to HTTP status and OpenAI's error type. Pools
 * and the Worker both speak it, so a request refused in a pool looks the same as one refused at the edge.
 */

const CODES = {
  invalid_request: { status: 400, type: "invalid_request_error" },
  context_length_exceeded: { status: 400, type: "invalid_request_error" },
  unsupported: { status: 400, type: "invalid_request_error" },
  previous_response_not_found: { status: 400, type: "invalid_request_error" },
  websocket_connection_limit_reached: { status: 400, type: "invalid_request_error" },
  unsupported_protocol: { status: 400, type: "invalid_request_error" },
  gate_off: { status: 400, type: "invalid_request_error" },
  machine_not_assignable: { status: 400, type: "invalid_request_error" },
  invalid_api_key: { status: 401, type: "invalid_request_error" },
  invalid_provider_token: { status: 401, type: "invalid_request_error" },
  forbidden: { status: 403, type: "permission_error" },
  read_only_token: { status: 403, type: "permission_error" },
  machine_not_allowed: { status: 403, type: "permission_error" },
  model_not_found: { status: 404, type: "invalid_request_error" },
  not_found: { status: 404, type: "invalid_request_error" },
  method_not_allowed: { status: 405, type: "invalid_request_error" },
  force_required: { status: 409, type: "invalid_request_error" },
  machine_connected: { status: 409, type: "invalid_request_error" },
  precondition_failed: { status: 412, type: "invalid_request_error" },
  request_too_large: { status: 413, type: "invalid_request_error" },
  upgrade_required: { status: 426, type: "invalid_request_error" },
  pool_exhausted: { status: 429, type: "rate_limit_exceeded" },
  model_shed: { status: 429, type: "rate_limit_exceeded" },
  machine_busy: { status: 429, type: "rate_limit_exceeded" },
  queue_full: { status: 429, type: "rate_limit_exceeded" },
  queue_timeout: { status: 429, type: "rate_limit_exceeded" },
  rate_limited: { status: 429, type: "rate_limit_exceeded" },
  ttft_too_slow: { status: 429, type: "rate_limit_exceeded" },
  slow_down: { status: 429, type: "rate_limit_exceeded" },
  internal: { status: 500, type: "server_error" },
  provider_error: { status: 502, type: "server_error" },
  client_too_slow: { status: 502, type: "server_error" },
  model_unavailable: { status: 503, type: "server_error" },
  machine_offline: { status: 503, type: "server_error" },
  stale_route: { status: 503, type: "server_error" },
  try_again: { status: 503, type: "server_error" },
  deadline_exceeded: { status: 504, type: "server_error" },
} as const satisfies Record<string, { status: number; type: string }>;

export type ApiErrorCode = keyof typeof CODES;

export interface ApiError {
  readonly code: ApiErrorCode;
  /** A sentence for the person who reads the log: what is wrong and what to do. */
  readonly message: string;
  /** The field at fault, for 400s. */
  readonly param?: string | undefined;
  /** Seconds, 1 to 60: official SDKs ignore longer ones. */
  readonly retryAfterS?: number | undefined;
  /** Retrying the same request is pointless; official SDKs then fail at once instead of waiting and retrying. */
  readonly isFinal?: boolean | undefined;
  /** How long the edge may give the same answer without asking the pool; never, if left out. */
  readonly holdsForMs?: number | undefined;
  /** To requests of the same API key only; else to everybody. */
  readonly holdsForKey?: boolean | undefined;
}

export interface EncodedError {
  readonly status: number;
  readonly headers: Record<string, string>;
  /** JSON in OpenAI's error envelope. */
  readonly body: string;
}

/** How long a refusal holds, in ms; sent by a pool and removed by the Worker. */
export const HOLDS_HEADER = "x-pool-holds-ms";

/** For whom it holds: `model` for every request to the model, `key` for those of the same API key. */
export const HOLDS_FOR_HEADER = "x-pool-holds-for";

export function isApiErrorCode(text: string | null): text is ApiErrorCode {
  return text !== null && Object.hasOwn(CODES, text);
}

/** The HTTP status of an error code; 500 for unknown codes. */
export function statusOf(code: string): number {
  return isApiErrorCode(code) ? CODES[code].status : 500;
}

/** Whether an outcome is the code of a 429. */
export function isRateLimit(outcome: string): boolean {
  return statusOf(outcome) === 429;
}

/** Whether an outcome is the code of a 5xx. */
export function isServerFault(outcome: string): boolean {
  return isApiErrorCode(outcome) && CODES[outcome].status >= 500;
}

/** Whether an error says that there is no room or no machine at the moment, so that its client should come back. */
export function isForLackOfRoom(code: ApiErrorCode): boolean {
  const { status } = CODES[code];
  return status === 429 || status === 503;
}

/** The whole HTTP answer for an error, except `x-request-id`. */
export function encodeError(error: ApiError): EncodedError {
  const { status } = CODES[error.code];
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (error.retryAfterS !== undefined) {
    const seconds = Math.min(60, Math.max(1, error.retryAfterS));
    headers["retry-after"] = String(Math.ceil(seconds));
    // Some SDKs prefer this header; it spreads clients that were told the same number of seconds.
    headers["retry-after-ms"] = String(Math.ceil(seconds * 1000));
  }
  if (error.isFinal === true) headers["x-should-retry"] = "false";
  if (error.holdsForMs !== undefined && error.holdsForMs > 0) {
    headers[HOLDS_HEADER] = String(error.holdsForMs);
    headers[HOLDS_FOR_HEADER] = error.holdsForKey === true ? "key" : "model";
  }
  if (status === 429) headers["x-pool-reason"] = error.code;
  return { status, headers, body: JSON.stringify(envelope(error)) };
}

/**
 * The one event that ends a stream after its first byte. No `[DONE]` may follow: a stream that ends without this
 * event looks like success to the official SDKs, which look for `error`. Aggregators look for a chunk whose finish
 * reason is `error`, so it is that as well.
 */
export function encodeErrorEvent(error: ApiError): string {
  const choices = [{ index: 0, delta: { content: "" }, finish_reason: "error" }];
  return `data: ${JSON.stringify({ ...envelope(error), object: "chat.completion.chunk", choices })}\n\n`;
}

function envelope(error: ApiError): object {
  const { code, param = null } = error;
  const message = code === "unsupported" ? unsupportedMessage(error) : error.message;
  return { error: { message, type: CODES[code].type, code, param } };
}

/** In OpenAI's words, by which clients and public test suites tell a missing feature from a fault. */
function unsupportedMessage({ message, param }: ApiError): string {
  return `${param === undefined ? "Unsupported" : "Unsupported parameter"}: ${message}`;
}
