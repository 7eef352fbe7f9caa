import type { ApiError } from "../../../../core/api-error.ts";
import type { Answer } from "../../../../core/pool/request.ts";

const DONE = "data: [DONE]\n\n";
const COMMENT = ": keep-alive\n\n";

/** What became of a request, as its client saw it. Fails the test if the answer is used in a way it must not be. */
export class FakeClient implements Answer {
  /** What it was sent: of events what they say, without `[DONE]`. */
  text = "";
  ended: "complete" | "finished" | { refused: ApiError } | { broken: ApiError } | null = null;
  /** What `write` answers: bytes that wait undelivered. */
  undelivered = 0;
  /** What the pieces that it was given keep in memory. */
  heldBytes = 0;
  #isDone = false;
  readonly #onRefused: (error: ApiError) => void;

  /** @param onRefused called at the moment of a refusal. */
  constructor(onRefused: (error: ApiError) => void = () => {}) {
    this.#onRefused = onRefused;
  }

  complete(chunks: readonly Uint8Array[]): void {
    if (this.text !== "") throw new Error("a stream was answered whole");
    for (const chunk of chunks) this.heldBytes += chunk.buffer.byteLength;
    this.#read(new Uint8Array(chunks.flatMap((chunk) => [...chunk])));
    this.#end("complete");
  }

  refuse(refused: ApiError): void {
    if (this.text !== "") throw new Error("refused after bytes had been written");
    this.#end({ refused });
    this.#onRefused(refused);
  }

  write(bytes: Uint8Array): number {
    if (this.ended !== null) throw new Error("written after the end");
    this.heldBytes += bytes.buffer.byteLength;
    this.#read(bytes);
    return this.undelivered;
  }

  finish(): void {
    if (this.text === "" && !this.#isDone)
      throw new Error("a stream without an event was closed as if it were whole");
    this.#end("finished");
  }

  breakOff(broken: ApiError): void {
    if (this.text === "") throw new Error("an error that could have been a status came as an event");
    if (this.#isDone) throw new Error("an error came after the end");
    this.#end({ broken });
  }

  get refusal(): ApiError | null {
    return typeof this.ended === "object" && this.ended !== null && "refused" in this.ended
      ? this.ended.refused
      : null;
  }

  get refusedWith(): string | null {
    return this.refusal?.code ?? null;
  }

  get brokenWith(): string | null {
    return typeof this.ended === "object" && this.ended !== null && "broken" in this.ended
      ? this.ended.broken.code
      : null;
  }

  /** The text without comments. */
  get content(): string {
    return this.text.replaceAll(COMMENT, "");
  }

  get comments(): number {
    return this.text.split(COMMENT).length - 1;
  }

  #read(bytes: Uint8Array): void {
    const text = new TextDecoder().decode(bytes);
    if (!text.endsWith("\n\n")) throw new Error(`half an event: ${text}`);
    if (text.includes(DONE)) this.#isDone = true;
    this.text += text.replace(DONE, "").replaceAll(/data: (.*)\n\n/g, "$1");
  }

  #end(how: NonNullable<FakeClient["ended"]>): void {
    if (this.ended !== null) throw new Error("an answer was ended twice");
    this.ended = how;
  }
}
