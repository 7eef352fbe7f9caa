import { EMBEDDINGS_ENDPOINT } from "../../protocol/endpoints.ts";
import type { ModelId } from "../../protocol/ids.ts";
import type { ApiError } from "../api-error.ts";
import { BYTES_PER_TOKEN, COMMENT_INTERVAL_MS, LONG_BODY_CHARS } from "../limits.ts";
import type { Reservation } from "../rate-limit.ts";
import type { Attempt } from "./attempt.ts";
import type { Suspicion } from "./breakers.ts";
import type { ContextNeed } from "./context-need.ts";
import type { MachineRef } from "./outcome.ts";
import type { OwnerRoute } from "./owner-route.ts";
import type { Priority } from "./priority.ts";

/** What the Worker hands to a pool: a validated request and the facts routing needs, so nothing is parsed twice. */
export interface RequestSpec {
  readonly requestId: string;
  /** Where the machine answers it, for example `/v1/chat/completions`. */
  readonly endpoint: string;
  /** The catalog id asked for: the pool's, unless the owner's machine here is to serve another. */
  readonly model: ModelId;
  /** Null for a public request. */
  readonly owner: OwnerRoute | null;
  /** What its prompt begins with, see `core/prefix.ts`. */
  readonly prefix: readonly number[];
  /**
   * Hashes, each with the API key's id, of what the other turns of its conversation have as well. Two at most: the second is
   * that of several conversations.
   */
  readonly cacheKeys: readonly number[];
  readonly stream: boolean;
  /** Id of the API key, for accounting. */
  readonly keyId: string;
  /** What is held for it of its key's tokens; null for a key without limits. */
  readonly reservation: Reservation | null;
  readonly priority: Priority;
  /** Streams one machine may decode at once, from the catalog. */
  readonly slotsPerMachine: number;
  /** Tokens of prompt and answer together, from the catalog; for texts to be made vectors, what they can take at most. */
  readonly contextLength: number;
  /** The longest answer that it asks for; null if it does not say. */
  readonly answerTokens: number | null;
  /** When all of it was at the edge. */
  readonly arrivedAt: number;
  readonly deadlineAt: number;
}

/** As it comes to a pool. */
export interface NewRequest extends RequestSpec {
  /** The client's JSON text, untouched. */
  readonly body: string;
}

/**
 * The client's side of one request. Exactly one of `complete`, `refuse`, or `write...finish`/`breakOff` is used.
 */
export interface Answer {
  /** A whole non-streamed body. */
  complete(chunks: readonly Uint8Array[]): void;
  /** An HTTP error; only while nothing was written. */
  refuse(error: ApiError): void;
  /** Stream bytes; the first call commits status 200. Returns how many bytes wait undelivered. */
  write(bytes: Uint8Array): number;
  finish(): void;
  /** The stream's last event, an error. */
  breakOff(error: ApiError): void;
}

/** A request inside a pool, from arrival to its outcome. */
export interface PoolRequest {
  readonly spec: RequestSpec;
  readonly answer: Answer;
  /** What machines are sent; null once it cannot be sent again, since it may have megabytes. */
  body: string | null;
  /** It may be refused for the length of its body, beside machines that have room and short requests that are taken. */
  readonly isLong: boolean;
  readonly promptTokensEstimate: number;
  /** Null as long as no machine was here on which there might be too little room for it. */
  need: ContextNeed | null;
  /** Machines whose fault has cost it an attempt; none is tried twice. */
  readonly tried: Set<string>;
  /** Faults of those of them of which it is not known yet whether they or the request are to blame. */
  suspicions: Suspicion[];
  /** Machines that it was sent to. */
  attempts: number;
  /** How often that went wrong; a refusal for lack of room is no failure. */
  failures: number;
  /** The try under way; null while it waits in line. */
  attempt: Attempt | null;
  /** It waits, or after a machine's refusal may wait again, until then; null if it has not waited since it last failed. */
  waitsUntil: number | null;
  readonly enteredAt: number;
  /** When it was first sent to a machine; null before. */
  sentAt: number | null;
  /** When its first token was there: for a stream as it went out, for a whole answer as its machine says. */
  firstTokenAt: number | null;
  /** Where it was sent last. */
  machine: MachineRef | null;
  /** Status 200 and perhaps comments have gone out, so an error can only be an event. */
  committed: boolean;
  /** Content has gone out, so it cannot be tried again. */
  streamed: boolean;
  nextCommentAt: number;
  /** Of its answer, those that have gone out. */
  writtenBytes: number;
  collected: Uint8Array[];
  collectedBytes: number;
  /** Why the last attempt failed; told to the client if no other succeeds. */
  lastFailure: ApiError | null;
}

/**
 * Whether its answer is written, so that there is a first token to wait for. Vectors are made text by text, in turns with
 * what else runs on the machine: how long their texts are says little of how long the next request has to wait.
 */
export function isWritten({ endpoint }: Pick<RequestSpec, "endpoint">): boolean {
  return endpoint !== EMBEDDINGS_ENDPOINT;
}

/** As it arrives. */
export function newRequest({ body, ...spec }: NewRequest, answer: Answer, now: number): PoolRequest {
  return {
    spec,
    answer,
    body,
    isLong: body.length > LONG_BODY_CHARS,
    promptTokensEstimate: Math.ceil(body.length / BYTES_PER_TOKEN),
    need: null,
    tried: new Set(),
    suspicions: [],
    attempts: 0,
    failures: 0,
    attempt: null,
    waitsUntil: null,
    enteredAt: now,
    sentAt: null,
    firstTokenAt: null,
    machine: null,
    committed: false,
    streamed: false,
    nextCommentAt: spec.stream ? now + COMMENT_INTERVAL_MS : Infinity,
    writtenBytes: 0,
    collected: [],
    collectedBytes: 0,
    lastFailure: null,
  };
}
