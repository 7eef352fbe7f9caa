import { createHash } from "node:crypto";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

type Ranges = boolean | "always";

interface Served {
  readonly bytes: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether it answers with parts; `always`: also of a file that has changed. */
  readonly ranges: Ranges;
}

interface Asked {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** The rest of an answer that does not come: the test says when the connection breaks. */
export interface HeldAnswer {
  readonly cut: () => void;
}

/** Serves files over HTTP on 127.0.0.1, with ranges, and fails when a test wants it to. */
export class FileServer {
  readonly asked: Asked[] = [];
  readonly #server: Server;
  readonly #files = new Map<string, Served>();
  readonly #onLook: Handler[] = [];
  readonly #onFetch: Handler[] = [];

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(): Promise<FileServer> {
    const server = new FileServer();
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Without `headers` it has an ETag of its bytes. */
  put(path: string, bytes: Buffer, headers?: Readonly<Record<string, string>>, ranges: Ranges = true): void {
    const etag = `"${createHash("md5").update(bytes).digest("hex")}"`;
    this.#files.set(path, { bytes, headers: headers ?? { etag }, ranges });
  }

  /** Requests for more than the first byte, each with the byte it began at. */
  get fetches(): { path: string; from: number; headers: IncomingHttpHeaders }[] {
    return this.asked
      .filter(({ headers }) => headers.range !== "bytes=0-0")
      .map(({ path, headers }) => ({ path, headers, from: Number(/\d+/.exec(headers.range ?? "0")?.[0]) }));
  }

  /** Answers the next fetch, or the next look for the first byte, with a status instead. */
  failNext(what: "look" | "fetch", status: number, headers: Readonly<Record<string, string>> = {}): void {
    const queue = what === "look" ? this.#onLook : this.#onFetch;
    queue.push((_, response) => response.writeHead(status, headers).end("<html>an error page</html>"));
  }

  /** Ends the next connection without an answer. */
  dropNext(what: "look" | "fetch"): void {
    const queue = what === "look" ? this.#onLook : this.#onFetch;
    queue.push((request) => request.socket.destroy());
  }

  /** Sends of the next fetch only this much. */
  holdNext(bytes: number): HeldAnswer {
    let cut = (): void => {
      throw new Error("nothing was asked for yet");
    };
    this.#onFetch.push((request, response) => {
      const { served, from } = this.#find(request) ?? {};
      if (served === undefined || from === undefined) throw new Error(`no file ${request.url}`);
      this.#writeHead(response, served, from, served.bytes.length - 1);
      response.write(served.bytes.subarray(from, from + bytes));
      cut = () => request.socket.destroy();
    });
    return { cut: () => cut() };
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.asked.push({ path: request.url ?? "", headers: request.headers });
    const isLook = request.headers.range === "bytes=0-0";
    const handler = (isLook ? this.#onLook : this.#onFetch).shift();
    if (handler !== undefined) return handler(request, response);
    const found = this.#find(request);
    if (found === null) return void response.writeHead(404).end("<html>not found</html>");
    const { served, from } = found;
    if (from > 0 && from >= served.bytes.length) return void response.writeHead(416).end();
    const last = isLook && served.ranges !== false ? 0 : served.bytes.length - 1;
    this.#writeHead(response, served, from, last);
    response.end(served.bytes.subarray(from, last + 1));
  }

  #find({ url = "", headers }: IncomingMessage): { served: Served; from: number } | null {
    const served = this.#files.get(url);
    if (served === undefined) return null;
    const condition = headers["if-range"];
    const isSame =
      served.ranges === "always" ||
      condition === undefined ||
      condition === served.headers["etag"] ||
      condition === served.headers["last-modified"];
    const from = Number(/^bytes=(\d+)-/.exec(headers.range ?? "")?.[1] ?? 0);
    return { served, from: served.ranges !== false && isSame ? from : 0 };
  }

  #writeHead(response: ServerResponse, { bytes, headers, ranges }: Served, from: number, last: number): void {
    const isPart = ranges !== false && (from > 0 || last < bytes.length - 1);
    response.writeHead(isPart ? 206 : 200, {
      ...headers,
      ...(headers["transfer-encoding"] === undefined ? { "content-length": last + 1 - from } : {}),
      ...(isPart ? { "content-range": `bytes ${from}-${last}/${bytes.length}` } : {}),
    });
  }
}
