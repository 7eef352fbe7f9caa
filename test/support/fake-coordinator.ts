import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

import { WebSocketServer, type WebSocket } from "ws";

import { decodeRecords } from "../../protocol/records.ts";
import type { Register, Upstream } from "../../protocol/upstream.ts";
import { SUBPROTOCOL } from "../../protocol/version.ts";

/**
 * The coordinator's end of real provider sockets on 127.0.0.1. It answers `register` and `ping` by itself, as every
 * coordinator does, and leaves everything else to the test.
 */

export interface Refusal {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export class FakeCoordinator {
  readonly url: string;
  /** The upgrade requests so far. */
  readonly upgrades: IncomingMessage[] = [];
  readonly sockets: CoordinatorSocket[] = [];
  /** Answers the following upgrades with a status, until it is set to null again. */
  refusal: Refusal | null = null;
  /** Fields of `registered` that differ from the usual. */
  registered: (register: Register, asked: string) => object = () => ({});
  /** What `GET /v1/providers/explain` says. */
  explanation: object = { gate: null, why: "it waits for requests", fix: null };
  readonly #server: Server;
  readonly #waiting: ((socket: CoordinatorSocket) => void)[] = [];
  readonly #unclaimed: CoordinatorSocket[] = [];

  static async start(): Promise<FakeCoordinator> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FakeCoordinator(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const webSockets = new WebSocketServer({
      noServer: true,
      perMessageDeflate: true,
      handleProtocols: (protocols) => (protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    server.on("request", (_, response) => response.end(JSON.stringify(this.explanation)));
    server.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Buffer) => {
      this.upgrades.push(request);
      if (this.refusal !== null) {
        refuse(stream, this.refusal);
        return;
      }
      webSockets.handleUpgrade(request, stream, head, (ws) => this.#accept(ws, request));
    });
  }

  /** The next provider socket, also one that is here already and was not asked for yet. */
  nextSocket(): Promise<CoordinatorSocket> {
    const known = this.#unclaimed.shift();
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.ws.terminate();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(ws: WebSocket, request: IncomingMessage): void {
    const query = new URL(request.url ?? "/", this.url).searchParams;
    const asked = query.get("pool") ?? "";
    const socket = new CoordinatorSocket(ws, asked, (register) => ({
      type: "registered",
      machine_id: register.machine_id,
      pool: asked,
      pools: register.models.map(({ id }) => id),
      assignment: { model_id: null, epoch: 0, drain_ms: 30_000, load_ms: 180_000 },
      heartbeat_ms: 60_000,
      flush_ms: 40,
      ...this.registered(register, asked),
    }));
    this.sockets.push(socket);
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#unclaimed.push(socket);
    else waiting(socket);
  }
}

export class CoordinatorSocket {
  readonly ws: WebSocket;
  readonly pool: string;
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Everything received so far, in order: `ping`, messages and `bytes`. */
  readonly order: string[] = [];
  readonly #unread: Upstream[] = [];
  readonly #waiting: { matches: (message: Upstream) => boolean; resolve: (message: Upstream) => void }[] = [];
  readonly #texts = new Map<number, string>();
  frames = 0;

  constructor(ws: WebSocket, pool: string, answerRegister: (register: Register) => object) {
    this.ws = ws;
    this.pool = pool;
    this.closed = new Promise((resolve) => {
      ws.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    ws.on("message", (data: Buffer, isBinary) => {
      if (isBinary) this.#onFrame(data);
      else this.#onText(data.toString(), answerRegister);
    });
  }

  /** The next message of a type that no call has returned yet, and that `matches`. */
  next<T extends Upstream["type"]>(
    type: T,
    matches: (message: Extract<Upstream, { type: T }>) => boolean = () => true,
  ): Promise<Extract<Upstream, { type: T }>> {
    const isWanted = (message: Upstream): boolean =>
      message.type === type && matches(message as Extract<Upstream, { type: T }>);
    const index = this.#unread.findIndex(isWanted);
    const [known] = index < 0 ? [] : this.#unread.splice(index, 1);
    if (known !== undefined) return Promise.resolve(known as Extract<Upstream, { type: T }>);
    return new Promise((resolve) => {
      this.#waiting.push({ matches: isWanted, resolve: resolve as (message: Upstream) => void });
    });
  }

  send(message: object): void {
    this.ws.send(JSON.stringify(message));
  }

  request(stream: number, fields: object = {}): void {
    this.send({
      type: "inference_request",
      request_id: `req_${stream}`,
      stream,
      endpoint: "/v1/chat/completions",
      model_id: this.pool,
      body: { model: this.pool, messages: [{ role: "user", content: "hello there" }], stream: true },
      deadline_ms: 60_000,
      owner_bypass: false,
      ...fields,
    });
  }

  /** The text of one stream so far. */
  streamText(stream: number): string {
    return this.#texts.get(stream) ?? "";
  }

  #onFrame(data: Buffer): void {
    this.frames += 1;
    this.order.push("bytes");
    const records = decodeRecords(new Uint8Array(data).buffer);
    if (records === null) throw new Error("a frame does not add up");
    for (const { stream, bytes } of records) {
      this.#texts.set(stream, this.streamText(stream) + new TextDecoder().decode(bytes));
    }
  }

  #onText(text: string, answerRegister: (register: Register) => object): void {
    if (text === "ping") {
      this.order.push("ping");
      this.ws.send("pong");
      return;
    }
    const message = JSON.parse(text) as Upstream;
    this.order.push(message.type);
    if (message.type === "register") this.send(answerRegister(message));
    const index = this.#waiting.findIndex(({ matches }) => matches(message));
    const [waiting] = index < 0 ? [] : this.#waiting.splice(index, 1);
    if (waiting === undefined) this.#unread.push(message);
    else waiting.resolve(message);
  }
}

function refuse(stream: Duplex, { status, headers = {}, body = "" }: Refusal): void {
  const lines = [
    `HTTP/1.1 ${status} Refused`,
    ...Object.entries({
      ...headers,
      "content-length": String(Buffer.byteLength(body)),
      connection: "close",
    }).map(([name, value]) => `${name}: ${value}`),
  ];
  stream.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
}
