import type { ModelId } from "../../protocol/ids.ts";
import type { Connection } from "./connection.ts";
import type { PoolRequest } from "./request.ts";
import type { WholeEvents } from "./whole-events.ts";

/**
 * One attempt of a request on one machine. It holds a slot from the moment the request is sent until the machine's final
 * message, or until the machine counts as lost.
 */
export interface Attempt {
  readonly connection: Connection;
  readonly stream: number;
  readonly requestId: string;
  readonly keyId: string;
  /** The pool's own, unless the machine's owner has asked for another one. */
  readonly model: ModelId;
  /** Longer if the machine had to load the model first when the request was sent. */
  readonly acceptWithinMs: number;
  /** Null once the client is served or gone, and only the machine's final message is awaited. */
  request: PoolRequest | null;
  /** `sent`: no reply yet. `accepted`: the machine runs it. `streaming`: bytes have arrived. */
  phase: "sent" | "accepted" | "streaming" | "cancelling";
  /** When the phase began or, while streaming, the last byte came or the machine was told to go on. */
  since: number;
  readonly sentAt: number;
  /** From the first byte on: when it came, and how many streams the machine then had from this pool. */
  firstByteAt: number;
  streamsAtFirstByte: number;
  /** Its bytes on their way out, if its request is streamed. */
  readonly events: WholeEvents;
  /** The machine was told to hold back bytes because the client reads slowly. */
  paused: boolean;
}
