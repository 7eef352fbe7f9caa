import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { ROOT } from "../../scripts/root.ts";
import type { Target } from "./chat.ts";
import { platform } from "./coordinator-config.ts";
import { SLOTS_PER_MACHINE } from "./coordinator.ts";
import { MockProvider } from "./mock-provider.ts";
import { freePort, startServer, temporaryFolder } from "./processes.ts";

/**
 * What the platform costs by itself: a Worker, an object and sockets that pass chats to the same mock machines the way
 * Poolkeeper does, with nothing checked, chosen or counted. What Poolkeeper costs beyond it is its own.
 */

const WORKER = `
import { DurableObject } from "cloudflare:workers";

let id = null;
export default {
  async fetch(request, env) {
    if (request.url.endsWith("/health")) return new Response();
    id ??= env.POOL.idFromName("pool");
    const pool = env.POOL.get(id);
    if (request.headers.get("upgrade") !== null) return pool.fetch(request);
    return pool.fetch("http://pool/", { method: "POST", body: await request.text() });
  },
};

export class Pool extends DurableObject {
  #sockets;
  #open = new Map();
  #streams = 0;

  constructor(context, env) {
    super(context, env);
    // While others are measured it hibernates, and keeps nothing but these.
    this.#sockets = context.getWebSockets();
  }

  async fetch(request) {
    if (request.headers.get("upgrade") !== null) return this.#accept(request);
    const body = await request.text();
    const stream = this.#streams++;
    const { promise, resolve } = Promise.withResolvers();
    this.#open.set(stream, { resolve, isStream: body.includes('"stream":true'), controller: null, bytes: null });
    this.#sockets[stream % this.#sockets.length].send(
      '{"type":"inference_request","request_id":"' + stream + '","stream":' + stream + ',"flush_ms":40,"body":' + body + "}",
    );
    return promise;
  }

  webSocketMessage(socket, message) {
    if (typeof message !== "string") this.#pass(message);
    else if (message.startsWith('{"type":"register"')) socket.send('{"type":"registered"}');
    else if (message.startsWith('{"type":"inference_complete"')) this.#end(JSON.parse(message).stream);
  }

  #accept(request) {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    this.#sockets.push(server);
    const headers = { "sec-websocket-protocol": request.headers.get("sec-websocket-protocol") };
    return new Response(null, { status: 101, webSocket: client, headers });
  }

  #pass(frame) {
    const view = new DataView(frame);
    for (let at = 0; at < frame.byteLength; at += 8 + view.getUint32(at + 4)) {
      const open = this.#open.get(view.getUint32(at));
      const bytes = new Uint8Array(frame, at + 8, view.getUint32(at + 4));
      if (open.isStream) this.#controllerOf(open).enqueue(bytes);
      else open.bytes = bytes;
    }
  }

  #controllerOf(open) {
    if (open.controller !== null) return open.controller;
    const body = new ReadableStream(
      { start: (controller) => { open.controller = controller; } },
      { highWaterMark: 65536, size: ({ byteLength }) => byteLength },
    );
    open.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }));
    return open.controller;
  }

  #end(stream) {
    const { isStream, controller, resolve, bytes } = this.#open.get(stream);
    this.#open.delete(stream);
    if (isStream) controller.close();
    else resolve(new Response(bytes, { headers: { "content-type": "application/json" } }));
  }
}
`;

export class Bare {
  readonly target: Target;
  readonly #machines: MockProvider[] = [];

  private constructor(target: Target) {
    this.target = target;
  }

  static async start(): Promise<Bare> {
    const folder = temporaryFolder();
    const port = await freePort();
    const config = writeConfig(folder, port);
    const command = [join(ROOT, "node_modules/workerd/bin/workerd"), "serve", config];
    const { url, pid } = await startServer({ command, port, healthPath: "/health" });
    return new Bare({ name: "bare workerd", url, pid, headers: {} });
  }

  /** Lets machines dial until there are `count`. */
  async growTo(count: number): Promise<void> {
    const { url } = this.target;
    const added = Array.from({ length: Math.max(0, count - this.#machines.length) }, (_, index) => {
      const machineId = `mac-${this.#machines.length + index}`;
      return new MockProvider(url, "none", "bare", machineId, SLOTS_PER_MACHINE);
    });
    this.#machines.push(...added);
    await Promise.all(added.map(({ registered }) => registered));
  }
}

/** @returns its path. */
function writeConfig(folder: string, port: number): string {
  const { date, flags } = platform();
  const storage = join(folder, "storage");
  const path = join(folder, "config.capnp");
  mkdirSync(storage);
  writeFileSync(join(folder, "bare.js"), WORKER);
  writeFileSync(
    path,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "disk", disk = (path = "${storage}", writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "bare.js", esModule = embed "bare.js")],
  compatibilityDate = ${date},
  compatibilityFlags = ${flags},
  bindings = [(name = "POOL", durableObjectNamespace = "Pool")],
  durableObjectNamespaces = [(className = "Pool", uniqueKey = "Pool", enableSql = true)],
  durableObjectStorage = (localDisk = "disk"),
);
`,
  );
  return path;
}
