import type { MiddlewareHandler } from "hono";

import { answerWithin } from "./answer-within.ts";
import type { AppEnv } from "./context.ts";

/** How much of an unread body the platform itself reads before it closes the connection. */
const READ_BY_PLATFORM_BYTES = 64 * 1024;

/** Longer bodies are not read to the end. Cloudflare accepts at most 100 MB on most plans. */
const MAX_READ_BYTES = 128 * 1024 * 1024;

/** A client that has seen the answer may stop in the middle and wait for the answer's end. */
const MAX_PAUSE_MS = 1000;

/**
 * If a request is refused before its body was read, sends the answer at once but keeps it open while the rest of the body is
 * read. Otherwise the connection would be closed, and a client that writes its whole body before it reads, such as Node's
 * `fetch`, would often see a broken connection instead of the answer, and retry.
 */
export const readUnreadBody: MiddlewareHandler<AppEnv> = async function readUnreadBody(context, next) {
  await next();
  const request = context.req.raw;
  // Asked for first: to look at a body makes a stream of it, and nearly all have been read.
  if (request.bodyUsed || request.body === null) return;
  const { body, headers } = request;
  // One without a length may be as long as it likes.
  const length = Number(headers.get("content-length") ?? MAX_READ_BYTES);
  if (length <= READ_BY_PLATFORM_BYTES || length > MAX_READ_BYTES) return;
  const answer = new Uint8Array(await context.res.arrayBuffer());
  context.res = new Response(answerBeside(answer, body.getReader()), context.res);
};

/** A stream that delivers the whole answer at once and ends when the client has sent its whole body. */
function answerBeside(
  answer: Uint8Array,
  rest: ReadableStreamDefaultReader<unknown>,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(answer),
    async pull(controller) {
      await readToEnd(rest);
      controller.close();
    },
    cancel: (reason) => rest.cancel(reason),
  });
}

/** Reads until the end, a pause, too many bytes or a broken connection. In each case the client has its answer. */
async function readToEnd(reader: ReadableStreamDefaultReader<unknown>): Promise<void> {
  try {
    for (let bytes = 0; bytes <= MAX_READ_BYTES;) {
      const { value, done } = await answerWithin(MAX_PAUSE_MS, reader.read());
      if (done) return;
      if (value instanceof Uint8Array) bytes += value.byteLength;
    }
    await reader.cancel();
  } catch {
    await reader.cancel().catch(() => undefined);
  }
}
