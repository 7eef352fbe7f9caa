import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { statusOf, type Endpoint } from "../../provider/src/engines/server/endpoint.ts";

/** Servers that are looked for: there are some that take a connection and never answer. */

let server: Server;
let endpoint: Endpoint;
beforeEach(async () => {
  server = createServer((request, response) => {
    if (request.url === "/v1/busy") response.writeHead(503).end("not yet");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  endpoint = { baseUrl: `http://127.0.0.1:${port}/v1`, apiKey: null };
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

describe("the status of a server", () => {
  it("is what it answers", async () => {
    expect(await statusOf(endpoint, "/busy", 60_000, null)).toBe(503);
  });

  it("is null if it does not answer in time, or is not there", async () => {
    expect(await statusOf(endpoint, "/hangs", 20, null)).toBeNull();
    expect(
      await statusOf({ ...endpoint, baseUrl: "http://127.0.0.1:1/v1" }, "/busy", 60_000, null),
    ).toBeNull();
  });

  it("is given up with the signal's reason", async () => {
    const abort = new AbortController();
    const asking = statusOf(endpoint, "/hangs", 60_000, abort.signal);
    const reason = new Error("another model is wanted");
    abort.abort(reason);
    await expect(asking).rejects.toBe(reason);
  });
});
