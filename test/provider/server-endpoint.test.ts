import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { post, statusOf, type Endpoint } from "../../provider/src/engines/server/endpoint.ts";

/** Servers that are looked for: there are some that take a connection and never answer. */

let server: Server;
let endpoint: Endpoint;
beforeEach(async () => {
  server = createServer((request, response) => {
    if (request.url === "/v1/busy") response.writeHead(503).end("not yet");
    else if (request.url === "/v1/slow") void answerSlowly(response);
    else if (request.url === "/v1/odd") response.socket?.end("HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n");
    else if (request.url === "/v1/silent") response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  endpoint = { baseUrl: `http://127.0.0.1:${port}/v1`, apiKey: null };
});
afterEach(() => {
  vi.unstubAllGlobals();
  server.closeAllConnections();
  server.close();
});

const SLOW_MS = 50;

async function answerSlowly(response: ServerResponse): Promise<void> {
  await sleep(SLOW_MS);
  response.write("at ");
  await sleep(SLOW_MS);
  response.end("last");
}

describe("an answer", () => {
  it("is not awaited by fetch, which gives up after five minutes of silence", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new Error("nothing came for five minutes")));
    const response = await post(endpoint, "/slow", {}, new AbortController().signal);
    expect(await response.text()).toBe("at last");
  });

  it("may be none", async () => {
    const response = await post(endpoint, "/silent", {}, new AbortController().signal);
    expect([response.status, await response.text()]).toEqual([204, ""]);
  });

  it("with a status that is none is a fault, and no end of the program", async () => {
    await expect(post(endpoint, "/odd", {}, new AbortController().signal)).rejects.toMatchObject({
      code: "server_unreachable",
    });
  });
});

describe("the status of a server", () => {
  it("is what it answers", async () => {
    expect(await statusOf(endpoint, "/busy", 60_000, null)).toBe(503);
  });

  it("tells one that does not answer in time from one that is not there", async () => {
    expect(await statusOf(endpoint, "/hangs", 20, null)).toBe("silent");
    const nowhere = { ...endpoint, baseUrl: "http://127.0.0.1:1/v1" };
    expect(await statusOf(nowhere, "/busy", 60_000, null)).toBe("gone");
  });

  it("is given up with the signal's reason", async () => {
    const abort = new AbortController();
    const asking = statusOf(endpoint, "/hangs", 60_000, abort.signal);
    const reason = new Error("another model is wanted");
    abort.abort(reason);
    await expect(asking).rejects.toBe(reason);
  });
});
