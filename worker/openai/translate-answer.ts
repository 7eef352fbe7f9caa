import { logWarning } from "../../durable-objects/log.ts";
import { HttpError } from "../http-error.ts";
import type { ChatChunk, ChatCompletion, ChatError } from "./chat-answer.ts";
import { SseReader } from "./sse-reader.ts";

/** Turns a chat answer into another API's. Sans IO; one of these serves one answer. */
export interface Translator {
  /** Before anything else, if it may be another model that answers than the request's first: the client's name of it. */
  answeredBy(model: string): void;
  /** The body of an answer that is sent whole. */
  whole(completion: ChatCompletion): object;
  /** The events that a chunk becomes. */
  chunk(chunk: ChatChunk): string;
  /** What a comment becomes, by which a machine says that it is at work. */
  comment(line: string): string;
  /** The last events of a stream that came to its end. */
  end(): string;
  /** The last events of a stream that did not. */
  fail(error: ChatError): string;
}

/**
 * A pool's response in another API's words. Headers stay, and so does a refusal, which looks alike everywhere.
 * @throws HttpError 502 `provider_error` if the machine's answer makes no sense
 */
export async function translateAnswer(response: Response, translator: Translator): Promise<Response> {
  const body: ReadableStream<Uint8Array> | null = response.body;
  if (!response.ok || body === null) return response;
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  if (headers.get("content-type")?.startsWith("text/event-stream") === true) {
    return new Response(translateStream(body, translator), { headers });
  }
  try {
    const completion: ChatCompletion = await response.json();
    return new Response(JSON.stringify(translator.whole(completion)), { headers });
  } catch (error) {
    logMalformed(error);
    throw new HttpError({ code: "provider_error", message: MALFORMED });
  }
}

/** Reads only as fast as the client does; a client that leaves cancels the pool's stream. */
function translateStream(
  body: ReadableStream<Uint8Array>,
  translator: Translator,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const stream = new StreamTranslation(translator);
  const utf8 = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let text = "";
        while (text === "" && !stream.isOver) {
          const next = await nextOf(reader);
          text = typeof next === "string" ? stream.end(next) : stream.translate(next);
        }
        if (text !== "") controller.enqueue(utf8.encode(text));
        if (!stream.isOver) return;
        controller.close();
        await reader.cancel().catch(() => undefined);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** The next piece, or how the pool's stream has ended. A pool that was reset ends it with an error. */
async function nextOf(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | StreamEnd> {
  try {
    return (await reader.read()).value ?? "ended";
  } catch {
    return "cut_off";
  }
}

type StreamEnd = "ended" | "cut_off";

/** One stream on its way from the one API to the other, piece by piece. */
class StreamTranslation {
  readonly #translator: Translator;
  readonly #sse = new SseReader();
  #isDone = false;
  /** The machine has given a finish reason. One that leaves `[DONE]` out says no more. */
  #isFinished = false;
  #isOver = false;

  constructor(translator: Translator) {
    this.#translator = translator;
  }

  /** Nothing comes after what was returned last. */
  get isOver(): boolean {
    return this.#isOver;
  }

  translate(bytes: Uint8Array): string {
    let text = "";
    for (const item of this.#sse.feed(bytes)) {
      if (this.#isOver) break;
      if (item.type === "comment") text += this.#translator.comment(item.text);
      else if (item.text === "[DONE]") this.#isDone = true;
      else text += this.#translateChunk(item.text);
    }
    return text;
  }

  /** No more bytes come. */
  end(how: StreamEnd): string {
    if (!this.#isDone && (how === "cut_off" || !this.#isFinished)) return this.#fail(providerError(CUT_OFF));
    this.#isOver = true;
    return this.#translator.end();
  }

  #translateChunk(json: string): string {
    try {
      const chunk: unknown = JSON.parse(json);
      if (!isChunk(chunk)) throw new TypeError("no chunk");
      if (chunk.error !== undefined) return this.#fail(chunk.error);
      this.#isFinished ||=
        chunk.choices?.some(({ finish_reason }) => typeof finish_reason === "string") === true;
      return this.#translator.chunk(chunk);
    } catch (error) {
      logMalformed(error);
      return this.#fail(providerError(MALFORMED));
    }
  }

  #fail(error: ChatError): string {
    this.#isOver = true;
    return this.#translator.fail(error);
  }
}

/** Machines are trusted with the shape inside, as they are with the words; one that breaks it fails its own answer. */
function isChunk(value: unknown): value is ChatChunk {
  return typeof value === "object" && value !== null;
}

const MALFORMED = "the machine's answer makes no sense; try again";
const CUT_OFF = "the answer was cut off; try again";

function providerError(message: string): ChatError {
  return { message, type: "server_error", code: "provider_error", param: null };
}

/** Without the error's own words, which may quote the answer. */
function logMalformed(error: unknown): void {
  logWarning("malformed_answer", { error: error instanceof Error ? error.name : "unknown" });
}
