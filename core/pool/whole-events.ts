/**
 * Splits a machine's stream so that only whole server-sent events are forwarded. A machine may cut its bytes anywhere and
 * disconnect there. What the pool writes next, an error or a comment, must be an event of its own, and half an event cannot be
 * completed: if the pool ended it, the client would parse it as an event with broken JSON.
 *
 * The end of an answer, `[DONE]`, is held back until the machine says that the answer is complete, so that a client that sees
 * it has all of it.
 *
 * Nothing is decoded. An event ends with a blank line, and nearly every record with an event: then nothing is copied.
 */

const LF = 10;
const CR = 13;
const DONE = Array.from("data: [DONE]", (character) => character.charCodeAt(0));
/**
 * Only the bytes `[DONE]`. None of them is in it twice, and few other bytes of an answer lie between the least and the
 * greatest.
 */
const WORD_AT = 6;
const WORD = DONE.slice(WORD_AT);
const WORD_LENGTH = WORD.length;
const WORD_LEAST = Math.min(...WORD);
const WORD_GREATEST = Math.max(...WORD);
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
    if (this.#length === 0 && isEventEnd(bytes, bytes.length) && endOfDone(bytes, 0) === 0) return bytes;
    const before = this.#length;
    this.#keep(bytes);
    const all = this.kept;
    const done = endOfDone(all, before);
    if (done > 0) {
      this.#isDone = true;
      this.#length = done;
      return null;
    }
    const end = lastEventEnd(all, before);
    if (end === 0) return null;
    this.#buffer = all.slice(end);
    this.#length = this.#buffer.length;
    return all.subarray(0, end);
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

/**
 * Where the event `[DONE]` ends, if it is complete and ends behind `from`; else 0. Only every sixth byte is looked at, one of
 * which is in the word: looking at each took twice as long.
 */
function endOfDone(bytes: Uint8Array, from: number): number {
  // It may begin before `from`: only the last byte of its blank line may be new.
  const first = Math.max(0, from - DONE.length - 3);
  // Read once: reading it in each iteration took a quarter of the time.
  const { length } = bytes;
  for (let at = first; at < length; at += WORD_LENGTH) {
    const byte = bytes[at] ?? 0;
    if (byte < WORD_LEAST || byte > WORD_GREATEST) continue;
    const start = at - DONE.indexOf(byte, WORD_AT);
    const isAtLineStart = start === 0 || isLineEnd(bytes[start - 1]);
    const end = isAtLineStart && isDoneAt(bytes, start) ? blankLineEnd(bytes, start + DONE.length) : 0;
    if (end > 0) return end;
  }
  return 0;
}

/** A function of its own, because a loop that creates closures takes twice as long per iteration. */
function isDoneAt(bytes: Uint8Array, start: number): boolean {
  return DONE.every((own, index) => bytes[start + index] === own);
}

/** Where the blank line ends that follows at once; 0 if none does. */
function blankLineEnd(bytes: Uint8Array, from: number): number {
  for (let end = from; isLineEnd(bytes[end]); end++) if (isEventEnd(bytes, end + 1)) return end + 1;
  return 0;
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LF || byte === CR;
}
