import { once } from "node:events";
import { request, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { Stack } from "./stack.ts";

/** What only a client of the network sees: connections, and what is agreed on them. */

const stack = new Stack();
beforeAll(() => stack.startCoordinator());
afterAll(() => stack.stop());

const MIB = 1024 * 1024;

describe("a body that nobody wants to read", () => {
  /** Sends the head of a request and one MiB, and the rest only when the head of the answer is there. */
  async function sendAround(
    path: string,
    key: string,
    bytes: number,
    how: "whole" | "chunked",
  ): Promise<string> {
    const { hostname, port } = new URL(stack.url);
    const socket = connect(Number(port), hostname);
    const head = [
      `POST ${path} HTTP/1.1`,
      `host: ${hostname}`,
      `authorization: Bearer ${key}`,
      how === "whole" ? `content-length: ${bytes}` : "transfer-encoding: chunked",
      "connection: close",
    ];
    const all = text(socket);
    const piece = (length: number): string => {
      const letters = "x".repeat(length);
      return how === "whole" ? letters : `${length.toString(16)}\r\n${letters}\r\n`;
    };
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    socket.write(piece(MIB));
    await once(socket, "readable");
    for (let sent = MIB; sent < bytes; sent += MIB) {
      await new Promise<void>((resolve, reject) => {
        socket.write(piece(Math.min(MIB, bytes - sent)), (error) => (error ? reject(error) : resolve()));
      });
    }
    if (how === "chunked") socket.write("0\r\n\r\n");
    return all;
  }

  it.each([
    ["it is too large", "/v1/chat/completions", null, 17, 413, "request_too_large", "whole"],
    ["its key is wrong", "/v1/chat/completions", "pk_wrong", 8, 401, "invalid_api_key", "whole"],
    ["its route is none", "/v1/nothing", null, 8, 404, "not_found", "whole"],
    ["its key is wrong", "/v1/chat/completions", "pk_wrong", 8, 401, "invalid_api_key", "chunked"],
    ["its route is none", "/v1/nothing", null, 8, 404, "not_found", "chunked"],
  ] as const)(
    "is taken to its end after the refusal, if %s: %#",
    async (_, path, key, mib, status, code, how) => {
      const answer = await sendAround(path, key ?? stack.dev.api_key, mib * MIB, how);
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(answer).toContain(`"code":"${code}"`);
    },
  );

  it.each([`content-length: ${MIB}`, "transfer-encoding: chunked"])(
    "does not keep a client waiting that sends no more of it: %s",
    async (length) => {
      const { hostname, port } = new URL(stack.url);
      const socket = connect(Number(port), hostname);
      const all = text(socket);
      socket.write(`POST /v1/nothing HTTP/1.1\r\nhost: ${hostname}\r\n${length}\r\n\r\n`);
      expect(await all).toContain('"code":"not_found"');
    },
  );
});

describe("a machine's socket", () => {
  it("is not compressed, though the machine's library offers it", async () => {
    const model = { id: "tiny-bard", context_length: 1024, size_gb: 1, min_ram_gb: 1 };
    await stack.admin.addToCatalog([model]);
    const headers: OutgoingHttpHeaders = {
      authorization: `Bearer ${stack.dev.provider_token}`,
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": Buffer.alloc(16, 1).toString("base64"),
      "sec-websocket-protocol": "poolkeeper.v1",
      "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
    };
    const dial = request(`${stack.url}/v1/providers/connect?machine=mac-wire&pool=tiny-bard`, { headers });
    dial.end();
    const [upgraded, socket] = (await once(dial, "upgrade")) as [IncomingMessage, { destroy(): void }];
    socket.destroy();
    expect(upgraded.statusCode).toBe(101);
    expect(upgraded.headers["sec-websocket-protocol"]).toBe("poolkeeper.v1");
    expect(upgraded.headers["sec-websocket-extensions"]).toBeUndefined();
  });
});
