/** Sizes and times that both ends of the wire rely on. */

/** Largest number of tokens, or of whatever else is counted. */
export const MAX_COUNT = 1_000_000_000;

/** Longest time that a provider may report, in milliseconds. */
export const MAX_DURATION_MS = 1e12;

/** Largest text frame accepted from a provider, in bytes of UTF-8; a larger one closes the socket with 4000. */
export const MAX_UPSTREAM_TEXT_BYTES = 256 * 1024;

/** Largest request body, in bytes, that is sent to a provider; also the limit at the edge. */
export const MAX_REQUEST_BODY_BYTES = 16 * 1024 * 1024;

/** Nesting of arrays and objects in a request body: ten times what people write, a tenth of what overflows a stack. */
export const MAX_JSON_DEPTH = 256;

/** Largest answer that is not streamed, in bytes: the coordinator buffers it until it is complete. */
export const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** Undelivered bytes of one stream, beyond which it is ended with an error event. */
export const MAX_UNDELIVERED_BYTES = 1024 * 1024;

/** A provider sends the text frame `ping` this often; the platform answers `pong` without waking the pool. */
export const PING_INTERVAL_MS = 20_000;

/** After this long without a sign of life the other side counts as lost. Three ping intervals, so that one may get lost. */
export const LIVENESS_TIMEOUT_MS = 60_000;

/** A socket that has not sent `register` after this long is closed with 4003. */
export const REGISTER_TIMEOUT_MS = 10_000;

/** A provider sends a heartbeat at least this often. */
export const HEARTBEAT_INTERVAL_MS = 60_000;

/** How long a provider collects the bytes of its streams before it sends one frame, unless its pool asks for more. */
export const FLUSH_INTERVAL_MS = 40;

/** Models one machine may advertise; bounds the size of what a pool keeps per socket. */
export const MAX_MODELS_PER_MACHINE = 64;

/** The text frame of a ping, and the platform's automatic answer. */
export const PING = "ping";
export const PONG = "pong";
