import { encodeDownstream } from "../../protocol/codec.ts";
import { MAX_ANSWER_BYTES, MAX_UNDELIVERED_BYTES } from "../../protocol/limits.ts";
import { COMMENT_INTERVAL_MS, LEAST_PIECE_BYTES, PAUSE_ABOVE_BYTES } from "../limits.ts";
import type { Attempt } from "./attempt.ts";
import { CLIENT_TOO_SLOW, providerFault, type Failure } from "./failure.ts";
import type { PoolRequest } from "./request.ts";

/** Delivers a machine's bytes to the client: forwards a stream, and buffers any other answer until it is complete. */

const COMMENT = Uint8Array.from(": keep-alive\n\n", (character) => character.charCodeAt(0));

/** @returns what ends the request, if the client does not keep up or an event has no end. */
export function forward(
  request: PoolRequest,
  attempt: Attempt,
  bytes: Uint8Array,
  now: number,
): Failure | null {
  const { events } = attempt;
  const whole = events.take(ownBytes(bytes));
  if (!events.isDone && events.keptBytes > MAX_UNDELIVERED_BYTES) {
    return providerFault("the machine sent an event larger than 1 MiB");
  }
  if (whole === null) return null;
  // Too much at once for any reader, so this is not the client's fault.
  if (whole.byteLength > MAX_UNDELIVERED_BYTES) {
    return providerFault("the machine sent more than 1 MiB of a stream at once");
  }
  const undelivered = write(request, whole, now);
  if (undelivered > MAX_UNDELIVERED_BYTES) return CLIENT_TOO_SLOW;
  if (undelivered > PAUSE_ABOVE_BYTES && !attempt.paused) {
    attempt.paused = true;
    attempt.connection.socket.send(encodeDownstream({ type: "pause", stream: attempt.stream }));
  }
  return null;
}

/** Finishes an answer that the machine reports as complete. @returns the failure if it is not. */
export function deliverEnd(request: PoolRequest, attempt: Attempt, now: number): Failure | null {
  if (attempt.phase !== "streaming") return providerFault("the machine completed without an answer");
  if (!request.spec.stream) {
    request.answer.complete(request.collected);
    return null;
  }
  const { isDone, kept } = attempt.events;
  if (!isDone && kept.length > 0) return providerFault("the machine completed in the middle of an event");
  // Other providers may leave `[DONE]` out: what counts is that the machine says the answer is complete.
  if (isDone) write(request, kept, now);
  request.answer.finish();
  return null;
}

function write(request: PoolRequest, bytes: Uint8Array, now: number): number {
  request.streamed = true;
  request.writtenBytes += bytes.byteLength;
  request.firstTokenAt ??= now;
  request.committed = true;
  request.nextCommentAt = now + COMMENT_INTERVAL_MS;
  return request.answer.write(bytes);
}

/** The client has read what was buffered. */
export function goOn(attempt: Attempt, now: number): void {
  if (!attempt.paused) return;
  attempt.paused = false;
  // The pool had paused it until now.
  attempt.since = now;
  attempt.connection.socket.send(encodeDownstream({ type: "resume", stream: attempt.stream }));
}

/** @returns what ends the request, if there is no end to its answer. */
export function collect(request: PoolRequest, bytes: Uint8Array): Failure | null {
  request.collected.push(ownBytes(bytes));
  request.collectedBytes += Math.max(LEAST_PIECE_BYTES, bytes.byteLength);
  if (request.collectedBytes <= MAX_ANSWER_BYTES) return null;
  return providerFault("the machine's answer is larger than 16 MiB");
}

/** A small view of a long frame is copied: as long as it waits, here or for its client, all of the frame would. */
function ownBytes(record: Uint8Array): Uint8Array {
  const frameBytes = record.buffer.byteLength;
  return frameBytes > LONG_FRAME_BYTES && 2 * record.byteLength < frameBytes ? record.slice() : record;
}

/** Frames of paced tokens are shorter: copying each of their records would make a token a tenth more expensive. */
const LONG_FRAME_BYTES = 4096;

/** A sign of life for a client that has been waiting for its first token, or for the next. */
export function comment(request: PoolRequest, now: number): void {
  request.committed = true;
  request.nextCommentAt = now + COMMENT_INTERVAL_MS;
  request.answer.write(COMMENT);
}

/**
 * A comment commits status 200, so a request that waits in line gets none, nor one that a machine was sent a moment ago
 * and may refuse: its refusal must be a 429. Nor does one whose client is behind: it has bytes to read.
 */
export function mayComment({ attempt, committed }: PoolRequest, now: number): boolean {
  if (attempt === null) return committed;
  return !attempt.paused && (committed || now - attempt.sentAt >= COMMENT_INTERVAL_MS);
}
