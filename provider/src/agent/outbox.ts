import { FLUSH_INTERVAL_MS, MAX_UNDELIVERED_BYTES } from "../../../protocol/limits.ts";
import { encodeRecords } from "../../../protocol/records.ts";
import { restOfGap } from "./gap.ts";
import type { Clock, Socket } from "./ports.ts";

/**
 * The send buffer of one socket. A stream's first bytes are sent at once, because a client is waiting for them. Later
 * bytes of all streams are collected into one frame per `flushMs`, because each frame is an event that the coordinator
 * pays for. The bytes of a paused stream stay here, and past 1 MiB its writer has to wait.
 */

/** Most bytes of one stream in one frame, so that a full buffer does not swamp a slow reader right after a pause. */
const MAX_STREAM_BYTES_PER_FRAME = 128 * 1024;

/** With this much unsent in the socket, frames wait: a dead connection must not fill the memory until it is noticed. */
const MAX_SOCKET_BACKLOG_BYTES = 4 * 1024 * 1024;

interface OutgoingStream {
  chunks: Uint8Array[];
  bytes: number;
  started: boolean;
  paused: boolean;
  /** Called once the stream's last byte has been sent. */
  onDrained: (() => void) | null;
  readonly waiting: (() => void)[];
}

export class Outbox {
  readonly #clock: Clock;
  readonly #socket: Socket;
  readonly #streams = new Map<number, OutgoingStream>();
  #flushMs = FLUSH_INTERVAL_MS;
  #flushedAt = Number.NEGATIVE_INFINITY;
  #cancelTimer: (() => void) | null = null;

  constructor(clock: Clock, socket: Socket) {
    this.#clock = clock;
    this.#socket = socket;
  }

  setFlushInterval(ms: number): void {
    // Never 0: while the socket is full, the timer is what looks again.
    this.#flushMs = Math.max(1, ms);
  }

  has(stream: number): boolean {
    return this.#streams.has(stream);
  }

  open(stream: number): void {
    this.#streams.set(stream, {
      chunks: [],
      bytes: 0,
      started: false,
      paused: false,
      onDrained: null,
      waiting: [],
    });
  }

  /** Takes bytes of a stream. The returned promise, if any, settles when the writer may go on. */
  write(stream: number, bytes: Uint8Array): void | Promise<void> {
    const out = this.#streams.get(stream);
    if (out === undefined || bytes.byteLength === 0) return;
    out.chunks.push(bytes);
    out.bytes += bytes.byteLength;
    if (!out.paused && !out.started) this.#flush();
    else this.#schedule();
    if (out.bytes <= MAX_UNDELIVERED_BYTES) return;
    return new Promise((resolve) => out.waiting.push(resolve));
  }

  /** Closes a stream as soon as its pending bytes are sent, then calls `onDrained`: at once, if nothing is pending. */
  end(stream: number, onDrained: () => void): void {
    const out = this.#streams.get(stream);
    if (out === undefined) return;
    out.onDrained = onDrained;
    if (out.bytes > 0 && !out.paused) this.#flush();
    else this.#finishDrained();
  }

  /** Forgets a stream with all that is pending. */
  drop(stream: number): void {
    const out = this.#streams.get(stream);
    if (out === undefined) return;
    this.#streams.delete(stream);
    for (const resume of out.waiting) resume();
  }

  /** Whether a byte of the stream has gone out. */
  hasStarted(stream: number): boolean {
    return this.#streams.get(stream)?.started ?? false;
  }

  isPaused(stream: number): boolean {
    return this.#streams.get(stream)?.paused ?? false;
  }

  /** Lets a writer that waits for its reader continue, so that it notices that it was aborted. */
  release(stream: number): void {
    for (const resume of this.#streams.get(stream)?.waiting.splice(0) ?? []) resume();
  }

  pause(stream: number): void {
    const out = this.#streams.get(stream);
    if (out !== undefined) out.paused = true;
  }

  resume(stream: number): void {
    const out = this.#streams.get(stream);
    if (out === undefined) return;
    out.paused = false;
    this.#schedule();
  }

  /** The socket is gone: nothing will be sent any more, and nobody waits for it. */
  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    for (const stream of this.#streams.keys()) this.drop(stream);
  }

  #hasSendable(): boolean {
    for (const out of this.#streams.values()) if (!out.paused && out.bytes > 0) return true;
    return false;
  }

  #schedule(): void {
    if (this.#cancelTimer !== null || !this.#hasSendable()) return;
    const waitMs = restOfGap(this.#flushMs, this.#flushedAt, this.#clock.now());
    this.#cancelTimer = this.#clock.after(waitMs, () => this.#flush());
  }

  #flush(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#flushedAt = this.#clock.now();
    if (this.#socket.bufferedBytes() <= MAX_SOCKET_BACKLOG_BYTES) {
      const records: { stream: number; chunks: Uint8Array[] }[] = [];
      for (const [stream, out] of this.#streams) {
        if (out.paused || out.bytes === 0) continue;
        records.push({ stream, chunks: take(out) });
        out.started = true;
      }
      if (records.length > 0) this.#socket.sendBytes(encodeRecords(records));
    }
    for (const out of this.#streams.values()) {
      if (out.bytes <= MAX_UNDELIVERED_BYTES) for (const resume of out.waiting.splice(0)) resume();
    }
    this.#finishDrained();
    this.#schedule();
  }

  #finishDrained(): void {
    for (const [stream, out] of this.#streams) {
      if (out.onDrained === null || out.bytes > 0) continue;
      this.#streams.delete(stream);
      for (const resume of out.waiting) resume();
      out.onDrained();
    }
  }
}

/** Takes up to one frame's share of a stream's pending bytes off its front. */
function take(out: OutgoingStream): Uint8Array[] {
  if (out.bytes <= MAX_STREAM_BYTES_PER_FRAME) {
    const all = out.chunks;
    out.chunks = [];
    out.bytes = 0;
    return all;
  }
  const taken: Uint8Array[] = [];
  let room = MAX_STREAM_BYTES_PER_FRAME;
  while (room > 0) {
    const chunk = out.chunks.shift();
    if (chunk === undefined) break;
    if (chunk.byteLength > room) out.chunks.unshift(chunk.subarray(room));
    const part = chunk.subarray(0, room);
    taken.push(part);
    room -= part.byteLength;
    out.bytes -= part.byteLength;
  }
  return taken;
}
