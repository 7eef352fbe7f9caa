/** The version of the protocol between coordinator and provider, and its history. */

/** The version of this code, sent in `register.protocol`. */
export const PROTOCOL_VERSION = 1;

/** The WebSocket subprotocol a provider must offer; the coordinator echoes it in the 101 answer. */
export const SUBPROTOCOL = "poolkeeper.v1";

/**
 * One line per version. Any change to a message needs a new hash in `test/unit/protocol/version.test.ts`, and a new
 * version with its line here. An optional field that older programs ignore and need not send goes into the line of
 * the version that it came to.
 */
export const PROTOCOL_HISTORY: Readonly<Record<number, string>> = {
  1: "register, heartbeat, assignments by epoch, inference with binary records, pause and resume; later: `flush_ms` of a request, the endpoint of embeddings, `attests` of a register, `context_length` of a model, `reserved` of a heartbeat, and `offer` with `takes_offers`",
};
