/** The version of the wire between coordinator and provider, and what each change was. */

/** Version spoken by this code, sent in `register.protocol`. */
export const PROTOCOL_VERSION = 1;

/** The WebSocket subprotocol a provider must offer; the coordinator echoes it in the 101 answer. */
export const SUBPROTOCOL = "poolkeeper.v1";

/**
 * One line per version. A change to any message needs a new hash in `test/unit/protocol/version.test.ts`, and a new
 * version and line here, unless it is an optional field that older programs ignore and need not send.
 */
export const PROTOCOL_HISTORY: Readonly<Record<number, string>> = {
  1: "register, heartbeat, assignments by epoch, inference with binary records, pause and resume; later: `flush_ms` of a request",
};
