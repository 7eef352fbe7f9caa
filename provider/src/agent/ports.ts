import type { InferenceRequest } from "../../../protocol/downstream.ts";
import type { ModelId } from "../../../protocol/ids.ts";
import type { AnswerEvent, LocalModel, RunResult } from "../engine.ts";

/**
 * What the agent needs from outside. It has no clock, sockets or random numbers of its own, so the same code runs on a
 * Mac and, with virtual ports, in a simulator that replays a whole fleet from one seed.
 */

export interface Clock {
  /** Milliseconds since the Unix epoch. Wall time: after a Mac slept, it must show how long. */
  now(): number;
  /** Calls `run` once after `delayMs`. The returned function cancels that and may be called at any time. */
  after(delayMs: number, run: () => void): () => void;
}

/** A number from 0 up to, but not including, 1. */
export type Random = () => number;

/** One WebSocket, as far as the agent uses it. Calls after its end do nothing. */
export interface Socket {
  sendText(text: string): void;
  sendBytes(bytes: Uint8Array): void;
  /** Bytes handed to `send...` that the network has not taken yet. */
  bufferedBytes(): number;
  /** Starts the closing handshake; `onEnd` follows. */
  close(code: number, reason: string): void;
  /** Drops the connection without a handshake. */
  terminate(): void;
}

/** Told what happens to a socket: `onOpen` at most once, `onEnd` exactly once and last. */
export interface SocketListener {
  onOpen(): void;
  onText(text: string): void;
  onEnd(end: SocketEnd): void;
}

export type SocketEnd =
  | {
      readonly kind: "closed";
      /** The close code; 1006 if there was none, as when the network failed. */
      readonly code: number;
      readonly reason: string;
    }
  | {
      /** The coordinator answered the upgrade with a status other than 101. */
      readonly kind: "refused";
      readonly status: number;
      /** `error.code` of the answer's body, if it had one. */
      readonly code: string | null;
      readonly message: string;
      readonly retryAfterMs: number | null;
    };

/** Opens a socket that names `pool`. Never calls the listener before it has returned. */
export type Dial = (pool: ModelId, listener: SocketListener) => Socket;

/** Signs for this machine. */
export interface Attester {
  /** ECDSA with SHA-256 by the machine's key over the text's UTF-8: r and s, in base64. */
  sign(text: string): string;
  /** What Apple has attested of that key: DER in base64, the device's certificate first. Empty if nothing. */
  certificateChain(): readonly string[];
}

/** Memory and temperature of the machine, sent in heartbeats. */
export interface Vitals {
  readonly memoryFreeGb: number;
  /** 0 (idle) to 1 (the system is about to kill processes). */
  readonly memoryPressure: number;
  readonly thermalState: "nominal" | "fair" | "serious" | "critical";
}

/** A model file that this machine offers. */
export interface OfferedModel extends LocalModel {
  readonly id: ModelId;
  readonly quantization?: string;
}

/** Turns an engine's events into the bytes that the client reads. */
export interface AnswerEncoder {
  /** Bytes to send now; null if the whole answer comes at the end. */
  encode(event: AnswerEvent): Uint8Array | null;
  /** The rest of the answer. */
  finish(result: RunResult): Uint8Array;
}

export type CreateAnswerEncoder = (request: InferenceRequest, now: number) => AnswerEncoder;

/** Values of a log line. No prompt and no completion text may ever be among them. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>> & {
  /** A JSON line has members of its own by these names. */
  readonly at?: never;
  readonly level?: never;
  readonly message?: never;
};

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}
