import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { machineIdSchema, modelIdSchema } from "../../protocol/ids.ts";
import { encodeRecords } from "../../protocol/records.ts";
import type { Socket, SocketEnd } from "../../provider/src/agent/ports.ts";
import { connectUrl, createDial } from "../../provider/src/connection.ts";
import { FakeCoordinator } from "../support/fake-coordinator.ts";

const machineId = machineIdSchema.parse("studio-7f3a");
const pool = modelIdSchema.parse("org/alpha");

let coordinator: FakeCoordinator;
beforeEach(async () => {
  coordinator = await FakeCoordinator.start();
});
afterEach(() => coordinator.stop());

interface Dialed {
  readonly socket: Socket;
  readonly opened: Promise<void>;
  readonly texts: string[];
  readonly ended: Promise<SocketEnd>;
}

function dial(url: string = coordinator.url): Dialed {
  const opened = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<SocketEnd>();
  const texts: string[] = [];
  const options = { coordinator: new URL(url), token: "secret-token", machineId, userAgent: "test/1" };
  const socket = createDial(options)(pool, {
    onOpen: opened.resolve,
    onText: (text) => texts.push(text),
    onEnd: ended.resolve,
  });
  return { socket, opened: opened.promise, texts, ended: ended.promise };
}

describe("the upgrade", () => {
  it("names machine and pool, carries the token and the subprotocol, and offers no compression", async () => {
    const { opened } = dial();
    await opened;
    const [request] = coordinator.upgrades;
    expect(request?.url).toBe("/v1/providers/connect?machine=studio-7f3a&pool=org%2Falpha");
    expect(request?.headers).toMatchObject({
      authorization: "Bearer secret-token",
      "sec-websocket-protocol": "poolkeeper.v1",
      "user-agent": "test/1",
    });
    expect(request?.headers).not.toHaveProperty("sec-websocket-extensions");
  });

  it.each([
    ["https://pool.example.com", "wss://pool.example.com/v1/providers/connect"],
    ["http://127.0.0.1:8787/", "ws://127.0.0.1:8787/v1/providers/connect"],
    ["https://example.com/pool/?x=1", "wss://example.com/pool/v1/providers/connect"],
  ])("of %s goes to %s", (base, expected) => {
    expect(String(connectUrl(new URL(base), machineId, pool))).toBe(
      `${expected}?machine=studio-7f3a&pool=org%2Falpha`,
    );
  });

  it("that is refused ends with status, code, message and Retry-After", async () => {
    coordinator.refusal = {
      status: 503,
      headers: { "retry-after": "2", "content-type": "application/json" },
      body: JSON.stringify({ error: { code: "stale_route", message: "try again" } }),
    };
    expect(await dial().ended).toEqual({
      kind: "refused",
      status: 503,
      code: "stale_route",
      message: "try again",
      retryAfterMs: 2000,
    });
  });

  it("that a proxy refuses with a page ends with the status alone", async () => {
    coordinator.refusal = { status: 502, body: "<html>Bad gateway</html>" };
    expect(await dial().ended).toMatchObject({ kind: "refused", status: 502, code: null, message: "" });
  });

  it("that is redirected says where to", async () => {
    coordinator.refusal = { status: 301, headers: { location: "https://other.example.com/" } };
    expect(await dial().ended).toMatchObject({
      kind: "refused",
      status: 301,
      message: expect.stringContaining("https://other.example.com/") as string,
    });
  });

  it("that reaches nobody ends like a lost connection, with the reason", async () => {
    await coordinator.stop();
    const end = await dial().ended;
    expect(end).toMatchObject({
      kind: "closed",
      code: 1006,
      reason: expect.stringContaining("ECONNREFUSED") as string,
    });
    coordinator = await FakeCoordinator.start();
  });

  it("that asks for TLS where there is none says so, and not what OpenSSL says of it", async () => {
    const end = await dial(coordinator.url.replace(/^http:/, "https:")).ended;
    expect(end).toMatchObject({
      code: 1006,
      reason: "that port does not speak TLS: does its address begin with http://?",
    });
  });

  it("can be given up before it is answered", async () => {
    const { socket, ended } = dial();
    socket.terminate();
    expect(await ended).toMatchObject({ kind: "closed", code: 1006 });
  });
});

describe("an open socket", () => {
  it("carries text both ways and bytes to the coordinator", async () => {
    const dialed = dial();
    await dialed.opened;
    const remote = await coordinator.nextSocket();
    dialed.socket.sendText('{"type":"heartbeat","running":1}');
    dialed.socket.sendBytes(encodeRecords([{ stream: 7, chunks: [new TextEncoder().encode("héllo")] }]));
    expect(await remote.next("heartbeat")).toMatchObject({ running: 1 });
    dialed.socket.sendText("ping");
    await expect.poll(() => dialed.texts).toEqual(["pong"]);
    expect(remote.streamText(7)).toBe("héllo");
  });

  it("ends with the coordinator's code and reason", async () => {
    const dialed = dial();
    await dialed.opened;
    (await coordinator.nextSocket()).ws.close(4002, "released");
    expect(await dialed.ended).toEqual({ kind: "closed", code: 4002, reason: "released" });
  });

  it("that the network cuts ends with 1006", async () => {
    const dialed = dial();
    await dialed.opened;
    (await coordinator.nextSocket()).ws.terminate();
    expect(await dialed.ended).toMatchObject({ kind: "closed", code: 1006 });
  });

  it("closes with the code it was given", async () => {
    const dialed = dial();
    await dialed.opened;
    const remote = await coordinator.nextSocket();
    dialed.socket.close(1000, "stopping");
    expect(await remote.closed).toEqual({ code: 1000, reason: "stopping" });
    dialed.socket.sendText("after the end");
  });

  it("takes a request of 16 MiB, and ends cleanly on a frame that no coordinator may send", async () => {
    const dialed = dial();
    await dialed.opened;
    const remote = await coordinator.nextSocket();
    remote.ws.send("x".repeat(16 * 1024 * 1024));
    await expect.poll(() => dialed.texts.map((text) => text.length)).toEqual([16 * 1024 * 1024]);
    remote.ws.send(Buffer.from("binary is ignored"));
    remote.ws.send("x".repeat(18 * 1024 * 1024));
    expect(await dialed.ended).toMatchObject({ kind: "closed", code: 1006 });
    expect(dialed.texts).toHaveLength(1);
  });
});
