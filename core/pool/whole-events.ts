/**
 * What a machine writes of a stream, parted so that only whole server-sent events go out. A machine may cut its bytes
 * anywhere and vanish there. What the pool writes next, an error or a comment, has to be an event of its own, and half an
 * event cannot be mended: ended by us, it would reach the client's parser as an event of broken JSON.
 *
 * The end of an answer, `[DONE]`, is kept until the machine says that the answer is complete, so that a client which
 * sees it has all of it.
 *
 * Nothing is decoded. An event ends with a blank line, and nearly every record with an event: then its last bytes are looked
 * at and nothing is copied.
 */

const LF = 10;
const CR = 13;
const DONE = Array.from("data: [DONE]", (character) => character.charCodeAt(0));
const LAST_OF_DONE = DONE.at(-1);
const NOTHING: Uint8Array = new Uint8Array();

export class WholeEvents {
  /** What has come and may not go out, at the front; there may be room behind it. */
  #buffer = NOTHING;
  #length = 0;
  #isDone = false;

  /** Whether the answer has come to its end. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** What has not gone out: half an event, or the end. */
  get kept(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  get keptBytes(): number {
    return this.#length;
  }

  /** Takes a record. @returns the bytes that may go out now; null if there are none. */
  take(bytes: Uint8Array): Uint8Array | null {
    // Clients read nothing beyond the end.
    if (this.#isDone) return null;
    if (this.#length === 0 && isEventEnd(bytes, bytes.length) && !endsWithDone(bytes)) return bytes;
    const before = this.#length;
    this.#keep(bytes);
    const all = this.kept;
    const end = lastEventEnd(all, before);
    if (end === 0) return null;
    const whole = all.subarray(0, end);
    if (endsWithDone(whole)) {
      this.#isDone = true;
      this.#length = end;
      return null;
    }
    this.#buffer = all.slice(end);
    this.#length = this.#buffer.length;
    return whole;
  }

  /** The buffer doubles, so that an event in a thousand pieces is not copied a thousand times. */
  #keep(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (this.#length === 0) this.#buffer = bytes;
    else if (length <= this.#buffer.length) this.#buffer.set(bytes, this.#length);
    else {
      const grown = new Uint8Array(2 * length);
      grown.set(this.kept);
      grown.set(bytes, this.#length);
      this.#buffer = grown;
    }
    this.#length = length;
  }
}

/** Whether an event ends before the byte at `at`: with a blank line, whose end may be that of Windows. */
function isEventEnd(bytes: Uint8Array, at: number): boolean {
  if (bytes[at - 1] !== LF) return false;
  return bytes[at - 2] === LF || (bytes[at - 2] === CR && bytes[at - 3] === LF);
}

/** Where the last event ends behind `from`; 0 if none does. */
function lastEventEnd(bytes: Uint8Array, from: number): number {
  for (let at = bytes.length; at > from; at--) if (isEventEnd(bytes, at)) return at;
  return 0;
}

/** Whether the last line that is not blank is the one that ends an answer. */
function endsWithDone(bytes: Uint8Array): boolean {
  let end = bytes.length;
  while (isLineEnd(bytes[end - 1])) end -= 1;
  if (bytes[end - 1] !== LAST_OF_DONE) return false;
  const start = end - DONE.length;
  if (start < 0 || (start > 0 && !isLineEnd(bytes[start - 1]))) return false;
  return DONE.every((byte, index) => bytes[start + index] === byte);
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LF || byte === CR;
}
