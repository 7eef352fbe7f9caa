import { LONG_BODY_CHARS } from "../core/limits.ts";

/**
 * Reads the bodies of a pool's requests, long ones one after the other: on its way in each is in memory twice, as bytes and as
 * text, and the pool can only count and refuse what it has read. All of it is at the Worker already, so none takes long.
 */
export class BodyReader {
  /** Settles when the long bodies that have come so far are read. */
  #longRead = Promise.resolve();

  /** @param chars of the body; 0 if it is not known. */
  read(request: Request, chars: number): Promise<string> {
    if (chars <= LONG_BODY_CHARS) return request.text();
    const read = this.#longRead.then(() => request.text());
    this.#longRead = read.then(readyForNext, readyForNext);
    return read;
  }
}

/** Also after a failure, of which whoever waits for the body hears. */
function readyForNext(): void {}
