import type { MiddlewareHandler } from "hono";

import { answerWithin } from "./answer-within.ts";
import type { AppEnv } from "./context.ts";

/** So much of an unread body the platform reads by itself before it closes the connection. */
const READ_BY_PLATFORM_BYTES = 64 * 1024;

/** Longer bodies are cut off, whatever becomes of the answer. Cloudflare takes 100 MB from most of its customers. */
const MAX_READ_BYTES = 128 * 1024 * 1024;

/** A client that has seen the answer may stop in the middle and wait for the answer's end. */
const MAX_PAUSE_MS = 1000;

/**
 * Answers a request that is refused before its body was read, as for its size or its key, at once, and reads on. If
 * the answer ended first, the connection would be closed: a client that writes everything before it reads, as Node's
 * `fetch` does, would often find a broken connection in place of the answer, and try again.
 */
export const readUnreadBody: MiddlewareHandler<AppEnv> = async function readUnreadBody(context, next) {
  await next();
  const { body, bodyUsed, headers } = context.req.raw;
  if (body === null || bodyUsed) return;
  const length = Number(headers.get("content-length"));
  if (length <= READ_BY_PLATFORM_BYTES || length > MAX_READ_BYTES) return;
  const answer = new Uint8Array(await context.res.arrayBuffer());
  context.res = new Response(answerBeside(answer, body.getReader()), context.res);
};

/** All of the answer at once. Its end comes when the client has sent all that it wanted to. */
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

/** Reads until the end, a pause or a broken connection: in each case the client has its answer. */
async function readToEnd(reader: ReadableStreamDefaultReader<unknown>): Promise<void> {
  try {
    while (!(await answerWithin(MAX_PAUSE_MS, reader.read())).done);
  } catch {
    await reader.cancel().catch(() => undefined);
  }
}
