import { encodeError, encodeErrorEvent, type ApiError } from "../core/api-error.ts";
import { LEAST_PIECE_BYTES, PAUSE_ABOVE_BYTES } from "../core/limits.ts";
import type { Answer } from "../core/pool/request.ts";

/**
 * The client's side of a request: a `Response` that exists as soon as something is known, and a stream of bytes
 * behind it. The stream is fed through its controller and never through a transform, which would cost three times
 * as much per token.
 */
export class ClientAnswer implements Answer {
  /** Settles with the first byte, the whole body or the error. */
  readonly response: Promise<Response>;
  readonly #requestId: string;
  readonly #routeHeaders: () => Record<string, string>;
  readonly #onDrained: () => void;
  readonly #onGone: () => void;
  readonly #resolve: (response: Response) => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  /** Resolves the pending pull, so that the stream calls it again once it has room. */
  #watchForRoom: () => void = () => {};

  /**
   * @param routeHeaders what there is to tell of the request's way by the time its response is made.
   * @param onDrained the client has read what had piled up.
   * @param onGone the client has closed the stream.
   */
  constructor(
    requestId: string,
    routeHeaders: () => Record<string, string>,
    onDrained: () => void,
    onGone: () => void,
  ) {
    this.#requestId = requestId;
    this.#routeHeaders = routeHeaders;
    this.#onDrained = onDrained;
    this.#onGone = onGone;
    const { promise, resolve } = Promise.withResolvers<Response>();
    this.response = promise;
    this.#resolve = resolve;
  }

  complete(chunks: readonly Uint8Array[]): void {
    const [only] = chunks;
    const body = chunks.length === 1 && only !== undefined ? only : new Blob([...chunks]);
    this.#resolve(new Response(body, { headers: this.#headers({ "content-type": "application/json" }) }));
  }

  refuse(error: ApiError): void {
    const { status, headers, body } = encodeError(error);
    this.#resolve(new Response(body, { status, headers: this.#headers(headers) }));
  }

  write(bytes: Uint8Array): number {
    const controller = this.#controller ?? this.#start();
    controller.enqueue(bytes);
    const undelivered = PAUSE_ABOVE_BYTES - (controller.desiredSize ?? 0);
    if (undelivered > PAUSE_ABOVE_BYTES) this.#watchForRoom();
    return undelivered;
  }

  finish(): void {
    (this.#controller ?? this.#start()).close();
  }

  breakOff(error: ApiError): void {
    const controller = this.#controller ?? this.#start();
    controller.enqueue(new TextEncoder().encode(encodeErrorEvent(error)));
    controller.close();
  }

  #headers(own: Record<string, string>): Record<string, string> {
    return { ...own, ...this.#routeHeaders(), "x-request-id": this.#requestId };
  }

  #start(): ReadableStreamDefaultController<Uint8Array> {
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        // While the stream has room it calls pull after each write, unless the last pull is still pending. It is left pending
        // until the stream is full, because a pull costs a tenth of what a token costs.
        pull: () => {
          this.#onDrained();
          return new Promise((resolve) => {
            this.#watchForRoom = resolve;
          });
        },
        cancel: () => this.#onGone(),
      },
      {
        highWaterMark: PAUSE_ABOVE_BYTES,
        size: ({ byteLength }) => Math.max(LEAST_PIECE_BYTES, byteLength),
      },
    );
    const headers = this.#headers({ "content-type": "text/event-stream", "cache-control": "no-cache" });
    this.#resolve(new Response(body, { headers }));
    if (this.#controller === null) throw new Error("a ReadableStream starts synchronously");
    return this.#controller;
  }
}
