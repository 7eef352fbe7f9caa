import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { describe, expect, it } from "vitest";

import type { AnswerEvent, EmitAnswerEvent } from "../../provider/src/engine.ts";
import { runChat } from "../../provider/src/engines/server/server-requests.ts";

/** The stream of a server as its bytes come, which is not always as they should. */

function event(delta: object, finish_reason: string | null = null): string {
  return `data: ${JSON.stringify({ choices: [{ delta, finish_reason }] })}\n\n`;
}
const END = `${event({}, "stop")}data: [DONE]\n\n`;

const BODY = { messages: [{ role: "user", content: "Hello" }] };

/** Asks a server that answers so, and gives what was written, and how it ended. */
async function askOf(
  answer: (response: ServerResponse) => void,
  emit: EmitAnswerEvent = () => {},
  signal = new AbortController().signal,
) {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream" });
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const endpoint = { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, apiKey: null };
  let text = "";
  const taken: EmitAnswerEvent = (piece: AnswerEvent) => {
    if (piece.type === "content") text += piece.text;
    return emit(piece);
  };
  const how = await runChat(endpoint, "m", BODY, taken, signal).then(
    ({ finishReason }) => finishReason,
    (error: Error) => error,
  );
  server.closeAllConnections();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return { text, how };
}

describe("a server's stream", () => {
  it("is read whole if it comes byte by byte, also within a character", async () => {
    const { text, how } = await askOf((response) => {
      for (const byte of Buffer.from(event({ content: "grüße 😀" }) + END)) response.write(Buffer.of(byte));
      response.end();
    });
    expect([text, how]).toEqual(["grüße 😀", "stop"]);
  });

  it("may have bytes that are no UTF-8, in whose place a mark goes on", async () => {
    const bytes = Buffer.from(event({ content: "aXb" }));
    bytes[bytes.indexOf("X")] = 0xff;
    const { text, how } = await askOf((response) => {
      response.write(bytes);
      response.end(END);
    });
    expect([text, how]).toEqual(["a\ufffdb", "stop"]);
  });

  it("may have comments, other fields, lines that are none, and the line ends of Windows", async () => {
    const stream = `: ping\n\nevent: x\nid: 3\nretry: 10\n\ngarbage\n\n${event({ content: "Hi" })}${END}`;
    const { text, how } = await askOf((response) => response.end(stream.replaceAll("\n", "\r\n")));
    expect([text, how]).toEqual(["Hi", "stop"]);
  });

  it("that breaks off is a fault which says so, after what had come", async () => {
    let cut: (() => void) | undefined;
    const { text, how } = await askOf(
      (response) => {
        cut = () => response.destroy();
        response.write(event({ content: "half" }));
      },
      // Now it has come.
      () => cut?.(),
    );
    expect(text).toBe("half");
    expect(how).toMatchObject({ class: "fault", code: "server_unreachable" });
    expect(how).toMatchObject({ message: "the model server broke off: aborted" });
  });

  it("is closed when its request is given up, so that the server stops", async () => {
    const leaving = new AbortController();
    let closed: Promise<unknown> = Promise.resolve();
    const { how } = await askOf(
      (response) => {
        closed = once(response, "close");
        response.write(event({ content: "one" }));
      },
      () => leaving.abort(),
      leaving.signal,
    );
    expect(how).toBe("cancelled");
    await closed;
  });

  it("is not read on while its reader is behind", async () => {
    const stream = Array.from({ length: 3 }, (_, index) => event({ content: String(index) })).join("") + END;
    let behind: (() => void) | null = null;
    let taken = 0;
    const asking = askOf(
      (response) => response.end(stream),
      () => {
        taken += 1;
        return new Promise((resolve) => (behind = resolve));
      },
    );
    for (const count of [1, 2, 3]) {
      await expect.poll(() => taken).toBe(count);
      await new Promise((resolve) => setImmediate(resolve));
      expect(taken).toBe(count);
      (behind as (() => void) | null)?.();
    }
    expect(await asking).toEqual({ text: "012", how: "stop" });
  });
});
