import type { ChatChunk, ChatCompletion } from "./chat-answer.ts";
import { SseReader } from "./sse-reader.ts";

/** Turns a chat answer into another API's. Sans IO; one of these serves one answer. */
export interface Translator {
  /** The body of an answer that is sent whole. */
  whole(completion: ChatCompletion): object;
  /** The events that a chunk, or an error event, becomes. */
  chunk(chunk: ChatChunk): string;
  /** The last events. `finished`: the stream came to its `[DONE]`. */
  end(finished: boolean): string;
}

/** A pool's response in another API's words. Headers stay, and so does a refusal, which looks alike everywhere. */
export async function translateAnswer(response: Response, translator: Translator): Promise<Response> {
  const body: ReadableStream<Uint8Array> | null = response.body;
  if (!response.ok || body === null) return response;
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  if (headers.get("content-type")?.startsWith("text/event-stream") === true) {
    return new Response(translateStream(body, translator), { headers });
  }
  const completion: ChatCompletion = await response.json();
  return new Response(JSON.stringify(translator.whole(completion)), { headers });
}

/** Reads only as fast as the client does; a client that leaves cancels the pool's stream. */
function translateStream(
  body: ReadableStream<Uint8Array>,
  translator: Translator,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const sse = new SseReader();
  const utf8 = new TextEncoder();
  let finished = false;

  function translate(bytes: Uint8Array): string {
    let text = "";
    for (const item of sse.feed(bytes)) {
      if (item.type === "comment") text += `${item.text}\n\n`;
      else if (item.text === "[DONE]") finished = true;
      else {
        const chunk: unknown = JSON.parse(item.text);
        if (isChunk(chunk)) text += translator.chunk(chunk);
      }
    }
    return text;
  }

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        for (;;) {
          const { done, value } = await reader.read();
          const text = done ? translator.end(finished) : translate(value);
          if (text !== "") controller.enqueue(utf8.encode(text));
          if (done) controller.close();
          if (done || text !== "") return;
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Machines are trusted with the shape of what they write, as they are with its words. */
function isChunk(value: unknown): value is ChatChunk {
  return typeof value === "object" && value !== null;
}
