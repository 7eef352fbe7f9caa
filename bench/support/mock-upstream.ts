import { createServer, type Server } from "node:http";

import { z } from "zod";

import { COMPLETION, parseWork, play } from "./work.ts";

const requestSchema = z.object({ model: z.string(), stream: z.boolean().optional() });

/** The engine behind nginx and Portkey: an OpenAI server on `port` of 127.0.0.1. */
export async function startUpstream(port: number): Promise<Server> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { model, stream } = requestSchema.parse(JSON.parse(Buffer.concat(parts).toString() || "{}"));
      if (stream !== true) {
        response.writeHead(200, {
          "content-type": "application/json",
          "content-length": COMPLETION.byteLength,
        });
        response.end(COMPLETION);
        return;
      }
      response.writeHead(200, { "content-type": "text/event-stream" });
      play(
        parseWork(model),
        (bytes) => response.write(bytes),
        () => response.end(),
      );
    });
  });
  server.keepAliveTimeout = 120_000;
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}
