import type { MiddlewareHandler } from "hono";

import {
  HELD_BODIES_BYTES_MAX,
  HELD_LONG_BODIES_BYTES_MAX,
  LONG_BODY_CHARS,
  LONG_BODY_WAIT_S,
} from "../core/limits.ts";
import { retryAfterS } from "../core/pool/retry-after.ts";
import type { AppEnv } from "./context.ts";
import { HttpError } from "./http-error.ts";

/**
 * What bodies take of an isolate's memory, which has 128 MB for all that it does: when it has too little, all of its streams
 * end. A body is held from when it is read until its pool has answered, since a call that breaks is made again, and is there
 * up to three times meanwhile: as text, as bytes on their way, and parsed. So only so many bytes are held at once, and long
 * bodies leave room for short ones.
 */

export class BodyRoom {
  #heldBytes = 0;
  readonly #sharesBytes = new WeakMap<Request, number>();

  /**
   * Counts bytes of a request's body until `giveBack`, or until its client leaves: then nothing of the request may run on that
   * could give them back. None are counted of a client that has left.
   * @throws HttpError 429 `queue_full` if there is no room for them.
   */
  take(request: Request, bytes: number): void {
    const shareBytes = bytes + (this.#sharesBytes.get(request) ?? 0);
    const mostBytes = shareBytes > LONG_BODY_CHARS ? HELD_LONG_BODIES_BYTES_MAX : HELD_BODIES_BYTES_MAX;
    if (this.#heldBytes + bytes > mostBytes) {
      throw new HttpError({
        code: "queue_full",
        message:
          "too many long requests are under way here already; try again shortly, or send a shorter one",
        retryAfterS: retryAfterS(LONG_BODY_WAIT_S, LONG_BODY_WAIT_S, 0, Math.random()),
      });
    }
    if (request.signal.aborted) return;
    if (!this.#sharesBytes.has(request)) {
      request.signal.addEventListener("abort", () => this.giveBack(request), { once: true });
    }
    this.#heldBytes += bytes;
    this.#sharesBytes.set(request, shareBytes);
  }

  giveBack(request: Request): void {
    this.#heldBytes -= this.#sharesBytes.get(request) ?? 0;
    this.#sharesBytes.delete(request);
  }
}

/** Of this isolate. */
export const bodyRoom = new BodyRoom();

/** Gives the room of each request's body back as soon as there is an answer, also one that goes on as a stream. */
export const heldBodies: MiddlewareHandler<AppEnv> = async function heldBodies(context, next) {
  const request = context.req.raw;
  try {
    await next();
  } finally {
    bodyRoom.giveBack(request);
  }
};
