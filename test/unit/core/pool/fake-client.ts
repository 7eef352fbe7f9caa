import type { ApiError } from "../../../../core/api-error.ts";
import type { Answer } from "../../../../core/pool/request.ts";

const COMMENT = ": keep-alive\n\n";

/** What became of a request, as its client saw it. Fails the test if the answer is used in a way it must not be. */
export class FakeClient implements Answer {
  text = "";
  ended: "complete" | "finished" | { refused: ApiError } | { broken: ApiError } | null = null;
  /** What `write` answers: bytes that wait undelivered. */
  undelivered = 0;
  readonly #onRefused: (error: ApiError) => void;

  /** @param onRefused called at the moment of a refusal. */
  constructor(onRefused: (error: ApiError) => void = () => {}) {
    this.#onRefused = onRefused;
  }

  complete(chunks: readonly Uint8Array[]): void {
    if (this.text !== "") throw new Error("a stream was answered whole");
    for (const chunk of chunks) this.text += new TextDecoder().decode(chunk);
    this.#end("complete");
  }

  refuse(refused: ApiError): void {
    if (this.text !== "") throw new Error("refused after bytes had been written");
    this.#end({ refused });
    this.#onRefused(refused);
  }

  write(bytes: Uint8Array): number {
    if (this.ended !== null) throw new Error("written after the end");
    this.text += new TextDecoder().decode(bytes);
    return this.undelivered;
  }

  finish(): void {
    this.#end("finished");
  }

  breakOff(broken: ApiError): void {
    if (this.text === "") throw new Error("an error that could have been a status came as an event");
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

  #end(how: NonNullable<FakeClient["ended"]>): void {
    if (this.ended !== null) throw new Error("an answer was ended twice");
    this.ended = how;
  }
}
